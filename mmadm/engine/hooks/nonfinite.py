"""A watch on gradients that are no numbers."""

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from mmengine.dist import all_gather_object, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.optim import Optimizer

from mmadm.engine.saving import write_atomically
from mmadm.registry import HOOKS

_TOTAL = 'skipped_steps'
REPORT = 'nonfinite_batches.json'


@HOOKS.register_module()
class NonFiniteHook(Hook):
    """Skips optimizer steps whose gradient is not finite, and stops if that goes on.

    A NaN or an infinite value in the loss or the gradient reaches neither the weights
    nor their average nor the state of the optimizer. Works with every optimizer
    wrapper, several optimizers and accumulated gradients (all of a step is skipped).
    The log shows how many steps were skipped so far.

    Whether the gradient is finite is asked once per step. On a GPU this waits for the
    backward pass: the price of not taking a step that cannot be undone.

    Args:
        max_skips_in_a_row: stop after so many, with the file names of the batches in
            ``nonfinite_batches.json`` of the work directory.
    """

    priority = 'NORMAL'

    def __init__(self, max_skips_in_a_row: int = 10) -> None:
        self.max_skips_in_a_row = max_skips_in_a_row
        self._stepped = self._skipped = False
        self._suspects: list[dict] = []
        self._in_a_row = 0
        self._handles: list = []

    def before_train(self, runner) -> None:
        """Stand between gradients and optimizers."""
        self._handles = [
            optimizer.register_step_pre_hook(self._check)
            for optimizer in _optimizers(runner)
        ]

    def _check(self, optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
        self._stepped = True
        gradients = [
            parameter.grad
            for group in optimizer.param_groups
            for parameter in group['params']
            if parameter.grad is not None
        ]
        # The largest absolute value; NaN wins.
        peaks = torch._foreach_norm(gradients, torch.inf)
        if gradients and not torch.isfinite(torch.stack(peaks)).all():
            self._skipped = True
            # Without gradients a step changes nothing.
            optimizer.zero_grad(set_to_none=True)

    def after_train_iter(
        self,
        runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Count, and stop where skipping does not help."""
        names = [sample.get('img_path') for sample in data_batch['data_samples']]
        losses = {
            key: value.detach() if isinstance(value, torch.Tensor) else value
            for key, value in (outputs or {}).items()
            if 'loss' in key
        }
        self._suspects.append(dict(iter=runner.iter + 1, files=names, **losses))
        total = runner.message_hub.runtime_info.get(_TOTAL, 0)
        if self._stepped:
            total += self._skipped
            self._in_a_row = self._in_a_row + 1 if self._skipped else 0
            if self._skipped:
                runner.logger.warning(
                    f'Step {runner.iter + 1} skipped, {total} so far: its gradient is '
                    f'not finite ({_listed(losses)}).'
                )
            else:
                self._suspects.clear()
            runner.message_hub.update_info(_TOTAL, total)
        runner.message_hub.update_scalar(f'train/{_TOTAL}', total)
        self._stepped = self._skipped = False
        if self._in_a_row >= self.max_skips_in_a_row:
            self._stop(runner)

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
        for handle in self._handles:
            handle.remove()


def _listed(losses: dict) -> str:
    return ', '.join(f'{key} {float(value):.4g}' for key, value in losses.items())


def _optimizers(runner: Runner) -> Iterator[Optimizer]:
    wrapper = runner.optim_wrapper
    wrappers = wrapper.values() if hasattr(wrapper, 'values') else [wrapper]
    for wrapper in wrappers:
        yield wrapper.optimizer
