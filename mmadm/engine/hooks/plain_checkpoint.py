"""Checkpoints that hold tensors, numbers and strings only."""

from collections import OrderedDict
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer

from mmadm.checkpoints import install_safe_loaders, restore_loaders
from mmadm.registry import HOOKS

_BUFFER_KEY = 'history_buffer'


@HOOKS.register_module()
class PlainCheckpointHook(Hook):
    """Stores the log history as plain lists, and restores it on resume.

    MMEngine's checkpoints contain objects of its own, so torch must be allowed to run
    code in order to read them. Without them ``torch.load(..., weights_only=True)``
    reads the file, and nothing in it can run.
    """

    # After the hooks that add to the checkpoint.
    priority = 'VERY_LOW'

    def __init__(self) -> None:
        # A runner that is built may load before it runs.
        install_safe_loaders()

    def before_run(self, runner) -> None:
        """Let MMEngine load checkpoints by our reader only."""
        install_safe_loaders()

    def after_run(self, runner) -> None:
        """Give MMEngine its own loaders back."""
        restore_loaders()

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Replace objects by plain data."""
        for key in ('message_hub', 'meta'):
            checkpoint[key] = to_plain(checkpoint[key])

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Bring back the objects that MMEngine expects."""
        if 'message_hub' in checkpoint:
            checkpoint['message_hub'] = from_plain(checkpoint['message_hub'])


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
