"""Log values that are read when they are logged."""

from collections import defaultdict

import torch
from mmengine.dist import all_reduce, is_distributed
from mmengine.hooks import LoggerHook, RuntimeInfoHook
from torch import Tensor

from mmadm.registry import HOOKS
from mmadm.utils.sharding import whole


@HOOKS.register_module()
class DeferredRuntimeInfoHook(RuntimeInfoHook):
    """MMEngine's ``RuntimeInfoHook`` that does not wait for the GPU at every step.

    Losses, errors and the norm of the gradient stay on the device and are read all at
    once, in the iterations that are logged or saved. The numbers in the log are the
    same; with several processes, losses are those of the whole batch, not of the part
    that the first process has.

    Goes to ``default_hooks.runtime_info``.

    Args:
        history: how many of the last values of each kind are kept, for means and in
            checkpoints. MMEngine keeps a million and copies them all to append one.
    """

    def __init__(self, history: int = 10000) -> None:
        self.history = history
        self._waiting: dict[str, list[Tensor | float]] = defaultdict(list)
        self._interval = 1

    def before_train(self, runner) -> None:
        """Find out when values are needed, and take over the norm of the gradient."""
        super().before_train(runner)
        intervals = [h.interval for h in runner.hooks if isinstance(h, LoggerHook)]
        self._interval = min(intervals, default=1)
        wrapper = runner.optim_wrapper
        wrappers = wrapper.values() if hasattr(wrapper, 'values') else [wrapper]
        for wrapper in wrappers:
            if wrapper.clip_grad_kwargs:
                self._take_norm(wrapper)

    def _take_norm(self, wrapper) -> None:
        """Clip as before, but let the wrapper have no norm to read."""
        clip, key = wrapper.clip_func, f'train/{wrapper.grad_name}'

        def clip_quietly(parameters: list[Tensor], **kwargs) -> None:
            norm = clip(parameters, **kwargs)
            if norm is not None:
                self._waiting[key].append(whole(norm.detach()))

        wrapper.clip_func = clip_quietly

    def after_train_iter(
        self, runner, batch_idx: int, data_batch=None, outputs: dict | None = None
    ) -> None:
        """Remember the values, and read them where the log comes next."""
        for key, value in _averaged(outputs or {}).items():
            kept = value.detach() if isinstance(value, Tensor) else value
            self._waiting[f'train/{key}'].append(kept)
        # An epoch's end is logged too.
        if self.every_n_train_iters(runner, self._interval) or self.end_of_epoch(
            runner.train_dataloader, batch_idx
        ):
            self._read(runner)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """A checkpoint holds the whole history."""
        self._read(runner)
        checkpoint['message_hub'] = runner.message_hub.state_dict()

    def after_train(self, runner) -> None:
        """Leave nothing unread."""
        self._read(runner)
        super().after_train(runner)

    def _read(self, runner) -> None:
        """Move all that waits into the history, with one transfer."""
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
    """Losses as means over all processes, in one exchange that nobody waits for.

    Other values need not be there in each process.
    """
    losses = {key: x.detach() for key, x in outputs.items() if 'loss' in key}
    if not losses or not is_distributed():
        return outputs
    means = torch.stack(list(losses.values()))
    all_reduce(means, 'mean')
    return outputs | dict(zip(losses, means.unbind()))


def _is_tensor(value: Tensor | float) -> bool:
    return isinstance(value, Tensor)
