"""A watch on gradients that are no numbers."""

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from mmengine.dist import all_gather_object, all_reduce, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from mmadm.checkpoints.saving import write_atomically
from mmadm.registry import HOOKS
from mmadm.utils.sharding import is_sharded, part

_TOTAL = 'skipped_steps'
REPORT = 'nonfinite_batches.json'


@HOOKS.register_module()
class NonFiniteHook(Hook):
    """Skips optimizer steps whose gradient is not finite, and stops if that goes on.

    A NaN or an infinite value in the loss or the gradient reaches neither the weights
    nor their average nor the state of the optimizer, nor the running statistics of a
    batch normalisation. Works with every optimizer wrapper, several optimizers and
    accumulated gradients (all of a step is skipped). The log shows how many steps were
    skipped so far.

    Fused optimizers leave such a step out by themselves, on the device, and a GPU is
    asked only now and then what it left out. For others it is asked before each step.

    Args:
        max_skips_in_a_row: stop after so many, with the file names of the batches in
            ``nonfinite_batches.json`` of the work directory.
        interval: every how many iterations a GPU is asked.
    """

    # Before statistics are averaged.
    priority = 'ABOVE_NORMAL'

    def __init__(self, max_skips_in_a_row: int = 10, interval: int = 10) -> None:
        self.max_skips_in_a_row = max_skips_in_a_row
        self.interval = interval
        # Of the step at hand, one per optimizer: whether its gradient is not finite.
        self._flags: list[Tensor] = []
        self._unread: list[tuple[dict, Tensor | None]] = []
        self._suspects: list[dict] = []
        self._in_a_row = 0
        self._handles: list = []
        # Of batch normalisations, with their last finite values.
        self._statistics: list[tuple[Tensor, Tensor]] | None = None

    def before_train(self, runner) -> None:
        """Stand between gradients and optimizers."""
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
        bad = _any_nonfinite(gradients)
        self._flags.append(bad)
        if all(group.get('fused') for group in optimizer.param_groups):
            # What torch's own gradient scaler tells such an optimizer.
            optimizer.found_inf = bad.float()
        elif bad:
            # Without gradients a step changes nothing.
            optimizer.zero_grad(set_to_none=True)

    def before_train_iter(
        self, runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Find the statistics that training changes, once it has begun."""
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
        """Count, and stop where skipping does not help."""
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
        if _at_hand(flag) or self.every_n_train_iters(runner, self.interval):
            self._read(runner)
        total = runner.message_hub.runtime_info.get(_TOTAL, 0)
        runner.message_hub.update_scalar(f'train/{_TOTAL}', total)
        if self._in_a_row >= self.max_skips_in_a_row:
            self._stop(runner)

    def _read(self, runner) -> None:
        """Count what was skipped since the last time."""
        total = runner.message_hub.runtime_info.get(_TOTAL, 0)
        flags = [flag for _, flag in self._unread if flag is not None]
        skipped = iter(torch.stack(flags).tolist() if flags else ())
        for batch, flag in self._unread:
            self._suspects.append(batch)
            if flag is None:  # a part of an accumulated batch
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
            write_atomically(path, lambda file: file.write(text.encode()))
        raise ValueError(
            f'Training diverged: {self._in_a_row} steps in a row had a gradient that '
            f'is not finite, up to iteration {runner.iter + 1}. The files of these '
            f'batches are in {path}; the weights are those from before. Look at the '
            'files, lower the rate, or train without --amp; then add --resume.'
        )

    def after_train(self, runner) -> None:
        """Step aside."""
        self._read(runner)
        for handle in self._handles:
            handle.remove()
        for optimizer in _optimizers(runner):
            vars(optimizer).pop('found_inf', None)


def _running_statistics(model: nn.Module) -> Iterator[Tensor]:
    for module in model.modules():
        if isinstance(module, _BatchNorm) and module.training:
            yield from (b for b in module.buffers() if b.is_floating_point())


def _any_nonfinite(gradients: list[Tensor]) -> Tensor:
    """Whether one of them is not finite, in any process; a bool, not waited for."""
    parts = [part(gradient) for gradient in gradients]
    # The largest absolute value; NaN wins. A process may have no part of a gradient.
    peaks = torch._foreach_norm([x for x in parts if x.numel()], torch.inf)
    peaks = torch.stack([*peaks, parts[0].new_zeros(())])
    bad = ~torch.isfinite(peaks).all()
    if any(map(is_sharded, gradients)):
        bad = bad.float()
        all_reduce(bad, 'max')
    return bad.bool()


def _at_hand(flag: Tensor | None) -> bool:
    """Whether looking at it costs no wait."""
    return flag is None or flag.device.type == 'cpu'


def _losses(batch: dict) -> str:
    losses = {key: value for key, value in batch.items() if 'loss' in key}
    return ', '.join(f'{key} {float(value):.4g}' for key, value in losses.items())


def _optimizers(runner: Runner) -> Iterator[Optimizer]:
    wrapper = runner.optim_wrapper
    wrappers = wrapper.values() if hasattr(wrapper, 'values') else [wrapper]
    for wrapper in wrappers:
        yield wrapper.optimizer
