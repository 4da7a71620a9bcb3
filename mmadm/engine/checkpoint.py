"""Reading checkpoints: nothing in the file runs, and what does not fit is said."""

import pickle
from pathlib import Path

import torch
from torch import Tensor, nn


def read_checkpoint(path: str | Path) -> dict:
    """A checkpoint on the CPU, without executing anything in it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is truncated, is no checkpoint, or holds objects that
            only running its code would make.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f'Checkpoint not found: {path}. Give the path of a .pth file; training '
            'writes them to its work directory.'
        )
    try:
        checkpoint = torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f'Refused to load {path}: it holds more than tensors and plain data '
            f'({_first_line(error)}), which only running code from the file could '
            'make. Convert it to a plain state dict where you trust it.'
        ) from error
    except (RuntimeError, EOFError, OSError) as error:
        raise ValueError(
            f'Checkpoint is truncated or broken: {path} ({_first_line(error)}). Copy '
            'it again, or use an earlier one of the same folder.'
        ) from error
    if not isinstance(checkpoint, dict):
        raise ValueError(
            f'Not a checkpoint: {path} holds a {type(checkpoint).__name__}. Give a '
            'file with a state dict.'
        )
    return checkpoint


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

    The averaged weights of a run with EMA are what MMEngine saves as ``state_dict``.

    Returns:
        the rest of the checkpoint.
    """
    checkpoint = read_checkpoint(path)
    state_dict = checkpoint.pop('state_dict', checkpoint)
    check_fit(model, state_dict, path)
    model.load_state_dict(state_dict)
    return checkpoint


def _first_line(error: Exception) -> str:
    return str(error).strip().split('\n')[0][:200]
