"""Skips optimizer steps whose gradient is NaN or infinite."""

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from mmengine.dist import all_gather_object, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.optim import Optimizer

from mmadm.engine.optim import optim_wrappers
from mmadm.engine.private_api import skip_no_more_steps, skip_step_on_device
from mmadm.engine.sharded import any_nonfinite
from mmadm.registry import HOOKS
from mmadm.utils.files import atomic_write

_BATCH_NORMS = nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm
_TOTAL = 'skipped_steps'
REPORT = 'nonfinite_batches.json'


@HOOKS.register_module()
class NonFiniteHook(Hook):
    """Skips optimizer steps with a non-finite gradient; ends a run of only such steps.

    A NaN or an infinite value in the loss or the gradient changes neither the weights
    nor their average, neither the state of the optimizer nor the running statistics of
    a batch normalisation. This holds for every optimizer wrapper, for several
    optimizers and for accumulated gradients. The log shows how many steps were skipped.

    Fused optimizers skip such a step on the device, and the flags are read from a GPU
    only every ``interval`` iterations. With other optimizers the flag is read before
    each step.

    Args:
        max_skips_in_a_row: number of skipped steps in a row after which the run ends,
            with the file names of their batches in ``nonfinite_batches.json``.
        interval: iterations between two readings from a GPU.
    """

    # Before statistics are averaged.
    priority = 'ABOVE_NORMAL'

    def __init__(self, max_skips_in_a_row: int = 10, interval: int = 10) -> None:
        self.max_skips_in_a_row = max_skips_in_a_row
        self.interval = interval
        # One per optimizer: whether its gradient in this iteration is not finite.
        self._flags: list[Tensor] = []
        self._unread: list[tuple[dict, Tensor | None]] = []
        self._suspects: list[dict] = []
        self._in_a_row = 0
        self._handles: list = []
        # Running statistics of batch normalisations and their last finite values.
        self._statistics: list[tuple[Tensor, Tensor]] | None = None

    def before_train(self, runner) -> None:
        """Check gradients before each step of each optimizer."""
        self._handles = [
            optimizer.register_step_pre_hook(self._check)
            for optimizer in _optimizers(runner)
        ]

    def _check(self, optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
        gradients = [
            parameter.grad
            for group in optimizer.param_groups
            for parameter in group['params']
            if parameter.grad is not None
        ]
        if not gradients:
            return
        bad = any_nonfinite(gradients)
        self._flags.append(bad)
        if all(group.get('fused') for group in optimizer.param_groups):
            skip_step_on_device(optimizer, bad)
        elif bad:
            # A step without gradients changes nothing.
            optimizer.zero_grad(set_to_none=True)

    def before_train_iter(
        self, runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Find the running statistics, once the model is in training mode."""
        if self._statistics is None:
            running = _running_statistics(runner.model)
            self._statistics = [(buffer, buffer.clone()) for buffer in running]

    def after_train_iter(
        self,
        runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Count skipped steps; end the run after too many in a row."""
        for running, kept in self._statistics:
            running.copy_(torch.where(running.isfinite(), running, kept))
            kept.copy_(running)
        names = [sample.get('img_path') for sample in data_batch['data_samples']]
        losses = {
            key: value.detach() if isinstance(value, Tensor) else value
            for key, value in (outputs or {}).items()
            if 'loss' in key
        }
        flag = torch.stack(self._flags).any() if self._flags else None
        batch = dict(iter=runner.iter + 1, files=names, **losses)
        self._unread.append((batch, flag))
        self._flags.clear()
        if _is_readable(flag) or self.every_n_train_iters(runner, self.interval):
            self._read(runner)
        total = runner.message_hub.runtime_info.get(_TOTAL, 0)
        runner.message_hub.update_scalar(f'train/{_TOTAL}', total)
        if self._in_a_row >= self.max_skips_in_a_row:
            self._stop(runner)

    def _read(self, runner) -> None:
        """Count the steps skipped since the last reading."""
        total = runner.message_hub.runtime_info.get(_TOTAL, 0)
        flags = [flag for _, flag in self._unread if flag is not None]
        skipped = iter(torch.stack(flags).tolist() if flags else ())
        for batch, flag in self._unread:
            self._suspects.append(batch)
            if flag is None:  # no gradient at all
                continue
            if next(skipped):
                total += 1
                self._in_a_row += 1
                runner.logger.warning(
                    f'Step {batch["iter"]} skipped, {total} so far: its gradient is '
                    f'not finite ({_losses(batch)}).'
                )
            elif self._in_a_row < self.max_skips_in_a_row:
                self._in_a_row = 0
                self._suspects.clear()
        self._unread.clear()
        runner.message_hub.update_info(_TOTAL, total)

    def _stop(self, runner: Runner) -> None:
        path = Path(runner.work_dir, REPORT)
        batches = [
            batch for rank in all_gather_object(self._suspects) for batch in rank
        ]
        if is_main_process():
            text = json.dumps(batches, indent=1, default=lambda x: f'{float(x):.4g}')
            with atomic_write(path) as part:
                part.write_text(text)
        raise ValueError(
            f'Training diverged: {self._in_a_row} steps in a row had a non-finite '
            f'gradient, up to iteration {runner.iter + 1}. The files of these batches '
            f'are in {path}; the weights are those before these steps. Check the '
            'files, reduce the learning rate, or train without --amp; then add '
            '--resume.'
        )

    def after_train(self, runner) -> None:
        """Check gradients no longer."""
        self._read(runner)
        for handle in self._handles:
            handle.remove()
        for optimizer in _optimizers(runner):
            skip_no_more_steps(optimizer)


def _running_statistics(model: nn.Module) -> Iterator[Tensor]:
    for module in model.modules():
        if isinstance(module, _BATCH_NORMS) and module.training:
            yield from (b for b in module.buffers() if b.is_floating_point())


def _is_readable(flag: Tensor | None) -> bool:
    """Whether reading the flag needs no wait for a GPU."""
    return flag is None or flag.device.type == 'cpu'


def _losses(batch: dict) -> str:
    losses = {key: value for key, value in batch.items() if 'loss' in key}
    return ', '.join(f'{key} {float(value):.4g}' for key, value in losses.items())


def _optimizers(runner: Runner) -> Iterator[Optimizer]:
    for wrapper in optim_wrappers(runner.optim_wrapper):
        yield wrapper.optimizer
