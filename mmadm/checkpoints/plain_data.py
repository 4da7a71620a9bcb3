"""Checkpoints that hold tensors, numbers and strings only.

MMEngine's checkpoints contain objects of its own, so torch must be allowed to run code
in order to read them. ``torch.load(..., weights_only=True)`` reads plain data.
"""

from collections import OrderedDict
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

_BUFFER_KEY = 'history_buffer'


def to_plain(value: Any) -> Any:
    """History buffers and NumPy values to dicts, lists and numbers."""
    if isinstance(value, HistoryBuffer):
        log, count = value.data
        # As tensors: a long history is as quick to save as its bytes.
        log, count = torch.as_tensor(log), torch.as_tensor(count)
        data = dict(log=log, count=count, length=value.max_length)
        return {_BUFFER_KEY: data}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        kind = OrderedDict if isinstance(value, OrderedDict) else dict
        return kind((key, to_plain(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return type(value)(to_plain(item) for item in value)
    return value


def from_plain(value: Any) -> Any:
    """The inverse of :func:`to_plain` for history buffers."""
    if isinstance(value, dict) and _BUFFER_KEY in value:
        data = value[_BUFFER_KEY]
        log, count = np.asarray(data['log']), np.asarray(data['count'])
        return HistoryBuffer(log, count, data['length'])
    if isinstance(value, dict):
        return type(value)((key, from_plain(item)) for key, item in value.items())
    return value
