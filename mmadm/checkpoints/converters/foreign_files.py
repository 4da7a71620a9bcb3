"""Reads checkpoints that other programs have written."""

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor

from mmadm.checkpoints.reading import read_file

# Packages whose objects are stored beside the weights and are not needed.
_SKIPPED = (
    *('lightning', 'lightning_fabric', 'pytorch_lightning', 'torchmetrics'),
    'omegaconf',
)


class StandIn:
    """Replaces an object of another program while a file is read; keeps nothing."""

    def __new__(cls, *args: Any, **kwargs: Any) -> 'StandIn':
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Accept the arguments of the object."""

    def __setstate__(self, state: Any) -> None:
        """Ignore the state of the object."""


def read_foreign(source: str | Path) -> dict:
    """Read a checkpoint of another program, without executing anything in it.

    Objects of Lightning and related packages, which are stored beside the weights, are
    skipped. The rest is read as by :func:`mmadm.checkpoints.read_checkpoint`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is broken, or holds other objects than tensors and plain data.
    """
    with _replacing_objects(Path(source)):
        return read_file(source)


@contextmanager
def _replacing_objects(path: Path) -> Iterator[None]:
    pairs = [(StandIn, name) for name in _names_in(path) if _is_skipped(name)]
    with torch.serialization.safe_globals(pairs):
        yield


def _is_skipped(name: str) -> bool:
    return name.partition('.')[0] in _SKIPPED


def _names_in(path: Path) -> list[str]:
    """The classes and functions in a file that torch does not allow by itself."""
    if not (path.is_file() and zipfile.is_zipfile(path)):
        return []
    try:
        return torch.serialization.get_unsafe_globals_in_checkpoint(path)
    # A damaged file can make its reader fail in any way; read_file reports how.
    except Exception:
        return []


def stored_weights(
    checkpoint: Mapping, source: str | Path, averaged: bool = True
) -> tuple[dict[str, Tensor], bool]:
    """The state dict of a checkpoint, and whether it is a moving average.

    Supports the authors' trainers ('ema', 'model'), Lightning ('state_dict') and plain
    state dicts. The prefix of ``DistributedDataParallel`` is removed.

    Args:
        checkpoint: content of the file.
        source: its path, for messages.
        averaged: use the moving average if there is one.

    Raises:
        ValueError: it has no weights.
    """
    places = [checkpoint.get(name) for name in ('model', 'state_dict')]
    average = _under('ema_model.', _tensors(checkpoint.get('ema')))
    is_average = averaged and bool(average)
    if is_average:
        weights = average
    else:
        weights = next(filter(None, map(_tensors, [*places, checkpoint])), {})
    if not weights:
        raise ValueError(
            f'No weights in {source}: it has '
            f'{", ".join(map(str, list(checkpoint)[:5])) or "nothing"}. Give a state '
            'dict, or a checkpoint with one as "model", "ema" or "state_dict".'
        )
    if all(key.startswith('module.') for key in weights):
        weights = _under('module.', weights)
    kind = 'their moving average' if is_average else 'no average'
    print_log(f'Read {source}: {len(weights)} weights, {kind}.', 'current')
    return weights, is_average


def report_left_out(keys: Sequence[str]) -> None:
    """Log which weights of a file are not converted."""
    if keys:
        places = sorted({'.'.join(key.split('.')[:-1][:2]) or key for key in keys})
        more = ', ...' if len(places) > 4 else ''
        message = f'Left out: {len(keys)} weights of {", ".join(places[:4])}{more}.'
        print_log(message, 'current')


def _tensors(content: Any) -> dict[str, Tensor]:
    if not isinstance(content, Mapping):
        return {}
    return {
        key: value
        for key, value in content.items()
        if isinstance(key, str) and isinstance(value, Tensor)
    }


def _under(prefix: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights with a prefix, without the prefix."""
    return {
        key.removeprefix(prefix): value
        for key, value in weights.items()
        if key.startswith(prefix)
    }
