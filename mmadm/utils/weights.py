"""Weights from files: nothing in them runs, and what does not fit is said."""

import pickle
from pathlib import Path

import torch
from torch import Tensor, nn


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a ``.safetensors`` file, or of a checkpoint of torch, on the CPU.

    Of a checkpoint with a ``state_dict`` entry only that is returned.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is broken, or holds other things than tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f'Weights not found: {path}. Give the path of a .safetensors or .pth file.'
        )
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == '.safetensors':
            return load_file(path)
        content = torch.load(path, map_location='cpu', weights_only=True)
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError) as error:
        reason = str(error).strip().split('\n')[0][:200]
        raise ValueError(
            f'Weights cannot be read: {path} ({reason}). Copy the file again if it is '
            'truncated; convert it to a plain state dict if it holds other objects and '
            'you trust it.'
        ) from error
    content = content.get('state_dict', content) if isinstance(content, dict) else {}
    if not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise ValueError(
            f'Not a file of weights: {path} holds no dict of tensors. Give a state '
            'dict, or a checkpoint with one under "state_dict".'
        )
    return dict(content)


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
