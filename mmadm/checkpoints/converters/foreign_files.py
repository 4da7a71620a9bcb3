"""What converters read: files that other programs have written."""

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor

from mmadm.checkpoints import read_checkpoint

# Programs whose objects lie beside the weights, and of which nothing is needed.
_PASSED_OVER = (
    *('lightning', 'lightning_fabric', 'pytorch_lightning', 'torchmetrics'),
    'omegaconf',
)


class StandIn:
    """What an object of another program becomes when it is read: nothing."""

    def __new__(cls, *args: Any, **kwargs: Any) -> 'StandIn':
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take what the object would have been made of."""

    def __setstate__(self, state: Any) -> None:
        """Forget what it knew."""


def read_foreign(source: str | Path) -> dict:
    """A checkpoint of another program, without executing anything in it.

    Objects of Lightning and its kin, which lie in such files beside the weights, are
    passed over; all else is :func:`mmadm.checkpoints.read_checkpoint`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is broken, or holds other objects than tensors and plain data.
    """
    with _standing_in(Path(source)):
        return read_checkpoint(source)


@contextmanager
def _standing_in(path: Path) -> Iterator[None]:
    pairs = [(StandIn, name) for name in _names_in(path) if _is_passed_over(name)]
    with torch.serialization.safe_globals(pairs):
        yield


def _is_passed_over(name: str) -> bool:
    return name.partition('.')[0] in _PASSED_OVER


def _names_in(path: Path) -> list[str]:
    """The classes and functions that a file names, of those torch does not know."""
    if not (path.is_file() and zipfile.is_zipfile(path)):
        return []
    try:
        return torch.serialization.get_unsafe_globals_in_checkpoint(path)
    # A damaged file can make its reader fail in any way; the true one says how.
    except Exception:
        return []


def stored_weights(
    checkpoint: Mapping, source: str | Path, averaged: bool = True
) -> tuple[dict[str, Tensor], bool]:
    """The state dict of a checkpoint, and whether it is a moving average.

    Known are the authors' trainers ('ema', 'model'), Lightning ('state_dict') and plain
    state dicts; the prefix that a model has within ``DistributedDataParallel`` is
    taken off.

    Args:
        checkpoint: what was read.
        source: where from, for messages.
        averaged: take the moving average, where there is one.

    Raises:
        ValueError: there are no weights in it.
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
    """Say which weights of a file are not converted."""
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
    """Those with a prefix, without it."""
    return {
        key.removeprefix(prefix): value
        for key, value in weights.items()
        if key.startswith(prefix)
    }
