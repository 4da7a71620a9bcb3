"""Weights of a checkpoint, and the check that they fit a model."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from .reading import read_checkpoint
from .structure import is_finite


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint or of a ``.safetensors`` file to the CPU.

    Of a checkpoint with a ``state_dict`` entry only that is returned.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read by :func:`mmadm.checkpoints.read_checkpoint` or
            holds other things than tensors.
    """
    checkpoint = read_checkpoint(path)
    content = checkpoint.get('state_dict', checkpoint)
    if not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise ValueError(
            f'Not a file of weights: {path} holds no dict of tensors. Give a state '
            'dict, or a checkpoint with one under "state_dict".'
        )
    return dict(content)


def check_fit(
    model: nn.Module, state_dict: Mapping[str, Tensor], path: str | Path, hint: str = ''
) -> None:
    """Refuse weights that are not exactly those of ``model``.

    Args:
        model: its keys, shapes and types of numbers count; it may be on 'meta'.
        state_dict: the weights.
        path: where they come from, for the message.
        hint: what else to do, for the message.

    Raises:
        ValueError: keys are missing or unknown, shapes differ, or numbers are not
            finite as the model would store them.
    """
    wanted = model.state_dict()
    shared = [key for key in state_dict if key in wanted]
    shapes = [
        f'{key} (model {tuple(wanted[key].shape)}, file {tuple(state_dict[key].shape)})'
        for key in shared
        if wanted[key].shape != state_dict[key].shape
    ]
    spoilt = [
        key for key in shared if not is_finite(state_dict[key].to(wanted[key].dtype))
    ]
    problems = {
        'missing in the file': sorted(wanted.keys() - state_dict.keys()),
        'unknown to the model': sorted(state_dict.keys() - wanted.keys()),
        'of another shape': shapes,
        'that are NaN or infinite': spoilt,
    }
    found = [
        f'{len(keys)} weights {what}, for instance {", ".join(keys[:3])}'
        for what, keys in problems.items()
        if keys
    ]
    if found:
        raise ValueError(
            f'The checkpoint does not fit the model: {path} has {"; ".join(found)}. '
            f'Use the config that it was trained with{hint}.'
        )


def fitting_part(
    model: nn.Module, state_dict: Mapping[str, Tensor], path: str | Path
) -> dict[str, Tensor]:
    """Those weights that have the name and the shape of one of the model's.

    Raises:
        ValueError: there is none.
    """
    wanted = model.state_dict()
    part = {
        key: value
        for key, value in state_dict.items()
        if key in wanted and wanted[key].shape == value.shape
    }
    if not part:
        theirs, ours = ', '.join([*state_dict][:3]), ', '.join([*wanted][:3])
        raise ValueError(
            f'No weight of {path} fits the model: it has {theirs}, the model {ours}. '
            'Give a checkpoint of a similar model, or train from scratch.'
        )
    return part


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
            f'The weights were trained for another scaling: {path} is {conflict}. Use '
            'the config that it was trained with, or that was written beside it; or '
            'set model.preconditioner and model.process alike.'
        )
    model.load_state_dict(state_dict)


def scaling_conflict(model: nn.Module, checkpoint: dict) -> str | None:
    """Both scalings, if a checkpoint names another one than the model's."""
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
