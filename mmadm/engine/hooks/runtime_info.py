"""Reads logged values from the device only when they are logged."""

from collections import defaultdict

import torch
from mmengine.dist import all_reduce, is_distributed
from mmengine.hooks import LoggerHook, RuntimeInfoHook
from torch import Tensor

from mmadm.engine.optim import optim_wrappers
from mmadm.engine.private_api import receive_gradient_norm
from mmadm.engine.sharded import gather
from mmadm.registry import HOOKS


@HOOKS.register_module()
class DeferredRuntimeInfoHook(RuntimeInfoHook):
    """MMEngine's ``RuntimeInfoHook`` without a wait for the GPU in each iteration.

    Losses, errors and the norm of the gradient stay on the device and are read together
    in the iterations that are logged or saved. The values in the log are the same; with
    several processes, losses are means over the batches of all processes, not those of
    the first process alone.

    Belongs to ``default_hooks.runtime_info``.

    Args:
        history: number of values of each kind that are kept for means and checkpoints.
            MMEngine keeps a million and copies them all to append one.
    """

    def __init__(self, history: int = 10000) -> None:
        self.history = history
        self._waiting: dict[str, list[Tensor | float]] = defaultdict(list)
        self._interval = 1

    def before_train(self, runner) -> None:
        """Find the interval of the log, and keep the norm of the gradient."""
        super().before_train(runner)
        intervals = [h.interval for h in runner.hooks if isinstance(h, LoggerHook)]
        self._interval = min(intervals, default=1)
        for wrapper in optim_wrappers(runner.optim_wrapper):
            if wrapper.clip_grad_kwargs:
                self._take_norm(wrapper)

    def _take_norm(self, wrapper) -> None:
        """Keep the norm of the gradient on the device."""
        key = f'train/{wrapper.grad_name}'
        receive_gradient_norm(
            wrapper, lambda norm: self._waiting[key].append(gather(norm))
        )

    def after_train_iter(
        self, runner, batch_idx: int, data_batch=None, outputs: dict | None = None
    ) -> None:
        """Keep the values; read all of them where they will be logged."""
        for key, value in _averaged(outputs or {}).items():
            kept = value.detach() if isinstance(value, Tensor) else value
            self._waiting[f'train/{key}'].append(kept)
        # An epoch's end is logged too.
        if self.every_n_train_iters(runner, self._interval) or self.end_of_epoch(
            runner.train_dataloader, batch_idx
        ):
            self._read(runner)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Put the whole history into the checkpoint."""
        self._read(runner)
        checkpoint['message_hub'] = runner.message_hub.state_dict()

    def after_train(self, runner) -> None:
        """Read the remaining values."""
        self._read(runner)
        super().after_train(runner)

    def _read(self, runner) -> None:
        """Move all waiting values into the history, in one transfer."""
        tensors = [v for vs in self._waiting.values() for v in vs if _is_tensor(v)]
        read = iter(torch.stack(tensors).tolist() if tensors else ())
        hub = runner.message_hub
        for key, values in self._waiting.items():
            for value in values:
                hub.update_scalar(key, next(read) if _is_tensor(value) else value)
        self._waiting.clear()
        for buffer in hub.log_scalars.values():
            buffer.max_length = self.history


def _averaged(outputs: dict) -> dict:
    """Losses as means over all processes, in one exchange without a wait.

    Other values may be missing in some processes, so they stay as they are.
    """
    losses = {key: x.detach() for key, x in outputs.items() if 'loss' in key}
    if not losses or not is_distributed():
        return outputs
    means = torch.stack(list(losses.values()))
    all_reduce(means, 'mean')
    return outputs | dict(zip(losses, means.unbind()))


def _is_tensor(value: Tensor | float) -> bool:
    return isinstance(value, Tensor)
