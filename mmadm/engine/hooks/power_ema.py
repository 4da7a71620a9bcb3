"""Snapshots of power-law averages, for averaging lengths chosen after training."""

from collections.abc import Sequence
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmadm.checkpoints import write_checkpoint
from mmadm.registry import HOOKS, MODELS

_STATE = 'power_ema_state_dicts'


@HOOKS.register_module()
class PowerEMAHook(Hook):
    """Keeps averages of the weights and saves them at intervals (EDM2, post-hoc EMA).

    ``tools/misc/posthoc_ema.py`` makes the average of any other length from the
    snapshots in ``power_ema/`` of the work folder. A snapshot has the size of the
    weights.

    Args:
        lengths: ``sigma_rel`` of each average, at least two of them.
        interval: iterations between two snapshots; a run needs ten or more.
    """

    # After the weights are updated, before the checkpoint is saved.
    priority = 'NORMAL'

    def __init__(
        self, lengths: Sequence[float] = (0.05, 0.10), interval: int = 10_000
    ) -> None:
        self.lengths = tuple(lengths)
        self.interval = interval

    def before_run(self, runner: Runner) -> None:
        """Create the averages."""
        model = runner.model
        self.model = model.module if is_model_wrapper(model) else model
        self.averages = [
            MODELS.build(dict(type='PowerEMA', model=self.model, sigma_rel=length))
            for length in self.lengths
        ]

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        """Update the averages, and save them at intervals and at the end."""
        for average in self.averages:
            average.update_parameters(self.model)
        due = self.every_n_train_iters(runner, self.interval)
        due |= self.is_last_train_iter(runner)
        if due and is_main_process():
            self._save(Path(runner.work_dir) / 'power_ema')

    def _save(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        for length, average in zip(self.lengths, self.averages):
            meta = dict(iteration=int(average.steps), sigma_rel=length)
            snapshot = dict(meta=meta, state_dict=average.module.state_dict())
            path = folder / f'iter_{meta["iteration"]}_{length:g}.pth'
            write_checkpoint(snapshot, path)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Averages are a part of the state of training."""
        checkpoint[_STATE] = [average.state_dict() for average in self.averages]

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Continue the averages of a resumed run."""
        for average, state in zip(self.averages, checkpoint.get(_STATE, [])):
            average.load_state_dict(state)
