"""Checks of what is in a checkpoint, before anything is built from it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

# Entries of a state of training, and the types that they must have.
_TYPES = {
    'meta': dict,
    'message_hub': dict,
    'optimizer': dict,
    'param_schedulers': list | dict,
}
# Far more than any training has; a pickle of a few bytes can hold 2^50 by sharing.
_MAX_ENTRIES = 1_000_000
# States of optimizers that are one number; the others are as large as the weight.
_NUMBERS = ('step', 'mu_product', 'eta', 'mu')


def check_tensors(content: Any, path: str | Path) -> None:
    """Refuse tensors that are not plain numbers in memory.

    Raises:
        ValueError: a tensor is sparse, quantized or without data, repeats its numbers
            so that it would be larger than the file once it is copied, or the content
            is nested without end.
    """
    claimed, size = 0, Path(path).stat().st_size
    for name, value in _entries(content, path):
        if not isinstance(value, Tensor):
            continue
        if value.layout != torch.strided or value.is_quantized or value.is_meta:
            kind = 'no data' if value.is_meta else f'{value.layout}, {value.dtype}'
            raise ValueError(
                f'Refused to load {path}: {name} is a tensor of another kind than '
                f'plain numbers in memory ({kind}). Save it as a dense tensor.'
            )
        if value.nbytes > value.untyped_storage().nbytes():
            claimed += value.nbytes
            if claimed > size:
                raise ValueError(
                    f'Refused to load {path}: {name} of shape {tuple(value.shape)} '
                    f'repeats its numbers and would take {value.nbytes / 1e6:.1f} MB, '
                    f'while the file has {size / 1e6:.1f} MB. Save a tensor of the '
                    'size that is needed.'
                )


def _entries(content: Any, path: str | Path) -> Iterator[tuple[str, Any]]:
    """Everything inside of dicts and lists, with its name."""
    waiting, count = [('', content)], 0
    while waiting:
        name, value = waiting.pop()
        count += 1
        if count > _MAX_ENTRIES:
            raise ValueError(
                f'Refused to load {path}: it has more than {_MAX_ENTRIES} entries, '
                'or one that contains itself. Give a file with a state dict.'
            )
        yield name, value
        if isinstance(value, Mapping):
            pairs = value.items()
        elif isinstance(value, list | tuple | set):
            pairs = enumerate(value)
        else:
            continue
        waiting += [(f'{name}.{key}' if name else str(key), x) for key, x in pairs]


def check_structure(checkpoint: dict, path: str | Path) -> None:
    """Refuse entries of a wrong type, and weights that are NaN or infinite.

    Raises:
        ValueError: names the entry.
    """
    for key in ('state_dict', 'ema_state_dict'):
        if key in checkpoint:
            check_weights(checkpoint[key], path, key)
    if 'state_dict' not in checkpoint:
        plain = {k: x for k, x in checkpoint.items() if isinstance(x, Tensor)}
        check_finite(plain, path)
    for key, kind in _TYPES.items():
        if key in checkpoint and not isinstance(checkpoint[key], kind):
            raise _wrong_type(key, checkpoint[key], 'a dict', path)
    for name, value in checkpoint.get('message_hub', {}).items():
        if not isinstance(value, dict):
            raise _wrong_type(f'message_hub.{name}', value, 'a dict', path)
        for key, entry in value.items():
            if isinstance(entry, dict) and 'history_buffer' in entry:
                _check_history(f'message_hub.{name}.{key}', entry, path)


def _check_history(name: str, entry: dict, path: str | Path) -> None:
    data = entry['history_buffer']
    found = isinstance(data, dict) and [data.get(key) for key in ('log', 'count')]
    shapes = [getattr(x, 'shape', None) for x in found or ()]
    length = data.get('length') if isinstance(data, dict) else None
    plain = len(shapes) == 2 and shapes[0] == shapes[1] and len(shapes[0] or ()) == 1
    if not plain or not _is_count(length):
        raise _wrong_type(name, data, 'a log of two equally long lists', path)


def check_weights(weights: Any, path: str | Path, name: str = 'state_dict') -> None:
    """Refuse what is no dict of finite tensors.

    Raises:
        ValueError: names the entry.
    """
    if not isinstance(weights, dict):
        raise _wrong_type(name, weights, 'a dict of tensors', path)
    for key, value in weights.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise _wrong_type(f'{name}.{key}', value, 'a tensor', path)
    check_finite(weights, path)


def check_finite(tensors: Mapping[str, Tensor], path: str | Path) -> None:
    """Refuse numbers that are NaN or infinite.

    Raises:
        ValueError: names the first tensor that has them.
    """
    spoilt = [key for key, value in tensors.items() if not is_finite(value)]
    if spoilt:
        raise ValueError(
            f'Weights that are NaN or infinite: {path} has them in {len(spoilt)} of '
            f'{len(tensors)} tensors, the first being {spoilt[0]}. The training that '
            'wrote it failed; give an earlier checkpoint.'
        )


def is_finite(tensor: Tensor) -> bool:
    """Whether no number is NaN or infinite."""
    if not tensor.is_floating_point() and not tensor.is_complex():
        return True
    return bool(torch.isfinite(tensor).all())


def check_resumable(checkpoint: dict, path: str | Path) -> None:
    """Refuse a checkpoint without a whole state of training.

    Raises:
        ValueError: an entry is missing or of a wrong type.
    """
    needed = ('meta', 'message_hub', 'optimizer', 'state_dict')
    missing = [key for key in needed if key not in checkpoint]
    if missing:
        raise ValueError(
            f'Training cannot be resumed from {path}: it has no '
            f'{", ".join(missing)}. Give an iter_*.pth of the run, or start a new run '
            f'with these weights: --cfg-options load_from={path}.'
        )
    for key in ('iter', 'epoch'):
        if not _is_count(checkpoint['meta'].get(key)):
            found = checkpoint['meta'].get(key)
            raise _wrong_type(f'meta.{key}', found, 'a number from 0 on', path)
    for name, state in _optimizer_states(checkpoint['optimizer']):
        groups, inner = state.get('param_groups'), state.get('state')
        if not isinstance(groups, list) or not all(
            isinstance(group, dict) and isinstance(group.get('params'), list)
            for group in groups
        ):
            raise _wrong_type(f'{name}.param_groups', groups, 'a list of dicts', path)
        if not isinstance(inner, dict) or not all(
            isinstance(entry, dict) for entry in inner.values()
        ):
            raise _wrong_type(f'{name}.state', inner, 'a dict of dicts', path)
    schedules = checkpoint.get('param_schedulers', [])
    lists = schedules.values() if isinstance(schedules, dict) else [schedules]
    for entry in lists:
        if not isinstance(entry, list) or not all(isinstance(x, dict) for x in entry):
            raise _wrong_type('param_schedulers', entry, 'a list of dicts', path)


def check_average(checkpoint: dict, path: str | Path) -> None:
    """Refuse averaged weights of other shapes than the weights beside them.

    Raises:
        ValueError: names the first one.
    """
    weights = checkpoint['state_dict']
    for key, value in checkpoint.get('ema_state_dict', {}).items():
        weight = weights.get(key.removeprefix('module.'))
        if weight is not None and weight.shape != value.shape:
            raise ValueError(
                f'The average in {path} does not fit: {key} has shape '
                f'{tuple(value.shape)}, the weight {tuple(weight.shape)}. Use another '
                'checkpoint of the run.'
            )


def check_optimizer(
    optimizers: Mapping[str, torch.optim.Optimizer], checkpoint: dict, path: str | Path
) -> None:
    """Refuse a state that is not of these optimizers, whose steps would then crash.

    Args:
        optimizers: by their name in the checkpoint, '' for the only one.
        checkpoint: passed :func:`check_resumable`.
        path: for messages.

    Raises:
        ValueError: groups or numbers of weights differ, a moment has another shape than
            its weight, or is NaN or infinite.
    """
    states = dict(_optimizer_states(checkpoint['optimizer']))
    for key, optimizer in optimizers.items():
        name = f'optimizer.{key}' if key else 'optimizer'
        state = states.get(name)
        if state is None:
            raise _wrong_type(name, None, f'the state of {type(optimizer)}', path)
        ours = [len(group['params']) for group in optimizer.param_groups]
        theirs = [len(group['params']) for group in state['param_groups']]
        if ours != theirs:
            raise ValueError(
                f'The optimizer of {path} does not fit: its groups have '
                f'{_short(theirs)} weights, those of the config {_short(ours)}. '
                'Resume with the config of the run, or begin a new run with '
                f'--cfg-options load_from={path}.'
            )
        params = [p for group in optimizer.param_groups for p in group['params']]
        ids = [i for group in state['param_groups'] for i in group['params']]
        for index, param in zip(ids, params):
            _check_moments(state['state'].get(index, {}), param, name, index, path)


def _check_moments(
    moments: dict, param: Tensor, name: str, index: Any, path: str | Path
) -> None:
    for key, value in moments.items():
        if not isinstance(value, Tensor):
            continue
        place = f'{name}.state.{index}.{key}'
        if key in _NUMBERS:
            fits = value.numel() == 1
        elif 'var' in key:
            # Adafactor keeps one number per row and per column.
            pairs = zip(value.shape, param.shape)
            fits = value.ndim == param.ndim and all(a in (1, b) for a, b in pairs)
        else:
            fits = value.shape == param.shape
        if not fits:
            raise ValueError(
                f'The optimizer of {path} does not fit: {place} has shape '
                f'{tuple(value.shape)}, its weight {tuple(param.shape)}. Resume with '
                'the config of the run, or begin a new run with --cfg-options '
                f'load_from={path}.'
            )
        check_finite({place: value}, path)


def _optimizer_states(content: dict) -> Iterator[tuple[str, dict]]:
    """That of the only optimizer, or of each of several."""
    named = {key: x for key, x in content.items() if isinstance(x, dict)}
    if 'param_groups' in content or not named or 'state' in content:
        yield 'optimizer', content
        return
    for key, value in named.items():
        yield f'optimizer.{key}', value


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _short(numbers: list[int]) -> str:
    text = ', '.join(map(str, numbers[:5]))
    return f'{text}, ... ({len(numbers)} groups)' if len(numbers) > 5 else text


def _wrong_type(name: str, value: Any, wanted: str, path: str | Path) -> ValueError:
    found = 'missing' if value is None else f'a {type(value).__name__}'
    if isinstance(value, int | str | float):
        found = f'{value!r:.60}'
    return ValueError(
        f'Not a checkpoint of mmadm or MMEngine: {path} must have {wanted} as {name}, '
        f'which is {found}. Use another checkpoint of the run.'
    )
