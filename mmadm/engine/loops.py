"""Training loop that counts optimizer steps."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.runner import IterBasedTrainLoop

from mmadm.registry import LOOPS

from .optim import optim_wrappers
from .private_api import accumulative_counts


@LOOPS.register_module()
class OptimizerStepLoop(IterBasedTrainLoop):
    """Training loop in which one iteration is one optimizer step.

    MMEngine's loop counts batches. Here, with ``accumulative_counts=k`` of the
    optimizer wrapper, an iteration processes k batches, so that ``max_iters``,
    schedules, averages, intervals, logs and checkpoints mean the same for one batch of
    8 and for 2 accumulated batches of 4. No checkpoint falls between the two.

    Hooks receive the k batches as one, and the mean of their outputs. Arguments are
    those of :class:`mmengine.runner.IterBasedTrainLoop`.
    """

    def run(self) -> torch.nn.Module:
        """Train until ``max_iters``."""
        wrapper = self.runner.optim_wrapper
        count = accumulative_counts(next(iter(optim_wrappers(wrapper))))
        self.dataloader_iterator = _StepBatches(self.dataloader_iterator, count)
        wrapper.initialize_count_status(
            self.runner.model, self._iter * count, self._max_iters * count
        )
        return super().run()

    def run_iter(self, batches: Sequence[dict]) -> None:
        """Accumulate the gradients of all batches and update the weights once."""
        runner, place = self.runner, dict(batch_idx=self._iter)
        place['data_batch'] = batches[0] if len(batches) == 1 else _joined(batches)
        runner.call_hook('before_train_iter', **place)
        outputs = [runner.model.train_step(x, runner.optim_wrapper) for x in batches]
        runner.call_hook('after_train_iter', **place, outputs=_mean(outputs))
        self._iter += 1


class _StepBatches:
    """Iterator over the lists of batches of one optimizer step."""

    def __init__(self, batches: Any, count: int) -> None:
        self.batches = batches
        self.count = count

    def __next__(self) -> list[dict]:
        return [next(self.batches) for _ in range(self.count)]

    def skip_iter(self, steps: int) -> None:
        """Skip the batches of optimizer steps that are already done."""
        self.batches.skip_iter(steps * self.count)


def _joined(batches: Sequence[Any]) -> Any:
    """Several collated batches as one."""
    first = batches[0]
    if isinstance(first, Mapping):
        return {key: _joined([batch[key] for batch in batches]) for key in first}
    if isinstance(first, torch.Tensor):
        return torch.cat(list(batches))
    return [item for batch in batches for item in batch]


def _mean(outputs: Sequence[dict]) -> dict:
    """Mean of each logged value over the batches that have it."""
    if len(outputs) == 1:
        return outputs[0]
    values: dict[str, list] = defaultdict(list)
    for output in outputs:
        for key, value in output.items():
            values[key].append(value)
    return {key: sum(items) / len(items) for key, items in values.items()}
