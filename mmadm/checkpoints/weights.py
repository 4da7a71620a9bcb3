"""The weights in a checkpoint, and whether they are those of a model."""

from pathlib import Path

from torch import Tensor, nn

from .reading import read_checkpoint


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint or of a ``.safetensors`` file, on the CPU.

    Of a checkpoint with a ``state_dict`` entry only that is returned.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read by :func:`~mmadm.checkpoints.reading.read_checkpoint`
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


def load_weights(model: nn.Module, path: str | Path) -> dict:
    """Load the weights of a checkpoint, all or none.

    The averaged weights of a run with EMA are what mmadm saves as ``state_dict``.

    Returns:
        the rest of the checkpoint.
    """
    checkpoint = read_checkpoint(path)
    put_weights(model, checkpoint, path)
    checkpoint.pop('state_dict', None)
    return checkpoint


def put_weights(model: nn.Module, checkpoint: dict, path: str | Path) -> None:
    """Give a model the weights of a checkpoint that was read, all or none.

    Raises:
        ValueError: they are not those of the model, or of another scaling.
    """
    state_dict = checkpoint.get('state_dict', checkpoint)
    check_fit(model, state_dict, path)
    conflict = scaling_conflict(model, checkpoint)
    if conflict:
        raise ValueError(
            f'The weights would mean something else to this model: {path} is '
            f'{conflict}. Use the config that it was trained with, or that was written '
            'beside it; or set model.preconditioner and model.process alike.'
        )
    model.load_state_dict(state_dict)


def scaling_conflict(model: nn.Module, checkpoint: dict) -> str | None:
    """Both sides, if a checkpoint tells of another scaling than the model's."""
    own, theirs = scaling(model), (checkpoint.get('meta') or {}).get('scaling')
    if not own or not theirs or own == theirs:
        return None
    return f'of another scaling ({theirs}) than the config ({own})'


def scaling(model: nn.Module) -> str | None:
    """In what scaling a diffusion's network is trained; None of other models.

    Generations of the authors' networks differ in nothing else.
    """
    if not hasattr(model, 'preconditioner'):
        return None
    return model.preconditioner.describe(model.process)
