"""The weights in a checkpoint, and whether they are those of a model."""

from pathlib import Path

from torch import Tensor, nn

from .checkpoint import read_checkpoint


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint or of a ``.safetensors`` file, on the CPU.

    Of a checkpoint with a ``state_dict`` entry only that is returned.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read by :func:`~mmadm.utils.checkpoint.read_checkpoint`
            or holds other things than tensors.
    """
    checkpoint = read_checkpoint(path)
    content = checkpoint.get('state_dict', checkpoint)
    weights = content if isinstance(content, dict) else {}
    if not weights or not all(isinstance(v, Tensor) for v in weights.values()):
        raise ValueError(
            f'Not a file of weights: {path} holds no dict of tensors. Give a state '
            'dict, or a checkpoint with one under "state_dict".'
        )
    return dict(weights)


def check_fit(
    model: nn.Module, state_dict: dict[str, Tensor], path: str | Path
) -> None:
    """Refuse weights that are not exactly those of ``model``.

    Raises:
        ValueError: keys are missing or unknown, or shapes differ.
    """
    wanted = model.state_dict()
    shapes = [
        f'{key} (model {tuple(wanted[key].shape)}, file {tuple(tensor.shape)})'
        for key, tensor in state_dict.items()
        if key in wanted and wanted[key].shape != tensor.shape
    ]
    problems = {
        'missing in the file': sorted(wanted.keys() - state_dict.keys()),
        'unknown to the model': sorted(state_dict.keys() - wanted.keys()),
        'of another shape': shapes,
    }
    said = [
        f'{len(keys)} weights {what}, for instance {", ".join(keys[:3])}'
        for what, keys in problems.items()
        if keys
    ]
    if said:
        raise ValueError(
            f'The checkpoint does not fit the model: {path} has {"; ".join(said)}. Use '
            'the config that it was trained with.'
        )
