"""Checkpoints that survive a kill, a full disk and a change of place."""

import math
import operator
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import mmengine
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import Hook

from mmadm.checkpoints.plain_data import to_plain
from mmadm.checkpoints.saving import (
    checkpoints,
    point_at,
    write_checkpoint,
)
from mmadm.checkpoints.weights import scaling
from mmadm.engine.sharded import gather_state
from mmadm.registry import HOOKS
from mmadm.utils import unwrap_model
from mmadm.utils.files import remove_parts
from mmadm.version import __version__

_VALIDATED = 'validated_iter'
_BETTER = {'greater': operator.gt, 'less': operator.lt}


@HOOKS.register_module()
class AtomicCheckpointHook(Hook):
    """Saves checkpoints so that a complete one exists at any moment.

    First the new file is written (temporary name, flush to the disk, rename), then the
    pointer file ``last_checkpoint``, and only then old files are removed. If the disk
    is full, the last good checkpoint stays and training continues. It ends with an
    error if its last state could not be saved.

    A validation that did not finish is repeated when the run is resumed.

    Args:
        interval: iterations between two checkpoints; the last one is always saved.
        max_keep_ckpts: how many are kept, -1 for all.
        save_best: name of the score by which the best weights are kept in
            ``best_<score>_iter_<n>.pth``.
        rule: whether a greater or a lower score is better.
    """

    # After all hooks that change the state or add to the checkpoint.
    priority = 'VERY_LOW'

    def __init__(
        self,
        interval: int,
        max_keep_ckpts: int = 2,
        save_best: str | None = None,
        rule: Literal['greater', 'less'] | None = None,
    ) -> None:
        if interval < 1 or max_keep_ckpts == 0:
            raise ValueError(
                'Checkpoints are written every interval iterations and at least one '
                f'is kept, but interval={interval}, max_keep_ckpts={max_keep_ckpts}. '
                'Give positive numbers, or -1 to keep all.'
            )
        if save_best is not None and rule not in _BETTER:
            raise ValueError(
                f'Which {save_best} is better is not known: save_best={save_best!r}, '
                f"rule={rule!r}. Give rule='greater' or rule='less'."
            )
        self.interval = interval
        self.max_keep_ckpts = max_keep_ckpts
        self.save_best = save_best
        self.rule = rule
        self._folder: Path | None = None
        self._failure: OSError | None = None
        self._config = ''

    def before_train(self, runner) -> None:
        """Remove the temporary files of a killed run."""
        self._folder = Path(runner.work_dir)
        self._config = runner.cfg.pretty_text
        if is_main_process():
            remove_parts(self._folder)

    def before_train_epoch(self, runner) -> None:
        """Run the validation that an interrupted run did not finish."""
        done, loop = runner.iter, runner.train_loop
        due = done % loop.val_interval == 0 or done == loop.max_iters
        if runner.val_loop is None or not due or done < max(1, loop.val_begin):
            return
        if runner.message_hub.runtime_info.get(_VALIDATED) != done:
            runner.val_loop.run()

    def after_train_iter(
        self, runner, batch_idx: int, data_batch=None, outputs: dict | None = None
    ) -> None:
        """Save at each interval, at the end, and before the run stops."""
        due = self.every_n_train_iters(runner, self.interval)
        if due or self.is_last_train_iter(runner) or runner.train_loop.stop_training:
            self.save(runner, runner.iter + 1)

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        """Save the best weights, and record that this validation is finished."""
        if self._folder is None:
            return
        if self.save_best is not None:
            self._keep_best(runner, metrics)
        runner.message_hub.update_info(_VALIDATED, runner.iter)
        if _from_main_process((self._folder / f'iter_{runner.iter}.pth').is_file()):
            self.save(runner, runner.iter)

    def after_train(self, runner) -> None:
        """Raise an error if the final state could not be saved."""
        if self._failure is not None:
            raise self._failure

    def save(self, runner, iteration: int) -> None:
        """Write ``iter_<iteration>.pth``, update the pointer, remove old files."""
        path = self._folder / f'iter_{iteration}.pth'
        runner.logger.info(f'Saving {path}')
        checkpoint = gather_state(_state(runner, iteration, self._config))
        if not is_main_process():
            return
        self._failure = self._attempt(
            runner,
            path,
            lambda: write_checkpoint(checkpoint, path),
            lambda: point_at(path),
        )
        if self._failure is None and self.max_keep_ckpts > 0:
            others = [p for p in checkpoints(self._folder) if p != path]
            for old in others[self.max_keep_ckpts - 1 :]:
                old.unlink()

    def _attempt(
        self, runner, path: Path, *steps: Callable[[], None]
    ) -> OSError | None:
        """Run the steps; an error of the disk is logged and returned."""
        try:
            for step in steps:
                step()
        except OSError as error:
            kept = next(iter(checkpoints(self._folder)), 'none')
            failure = OSError(
                f'Checkpoint could not be saved: {path} ({error}). The last good one '
                f'is {kept}. Free some space on this disk.'
            )
            runner.logger.error(failure)
            return failure
        return None

    def _keep_best(self, runner, metrics: dict) -> None:
        if self.save_best not in metrics:
            self.save(runner, runner.iter)
            raise ValueError(
                f"There is no score '{self.save_best}' to find the best weights by "
                f'(save_best); validation gave {sorted(metrics)}. Give one of these '
                'in default_hooks.checkpoint and add --resume: nothing is lost.'
            )
        score = float(metrics[self.save_best])
        name = f'best_{self.save_best}'
        best = runner.message_hub.runtime_info.get(name)
        better = best is None or _BETTER[self.rule](score, best)
        if not _from_main_process(math.isfinite(score) and better):
            return
        state = _state(runner, runner.iter, self._config)
        weights = gather_state({key: state[key] for key in ('meta', 'state_dict')})
        if not is_main_process():
            return
        stem = name.replace('/', '_')
        path = self._folder / f'{stem}_iter_{runner.iter}.pth'
        failure = self._attempt(runner, path, lambda: write_checkpoint(weights, path))
        if failure is None:
            runner.message_hub.update_info(name, score)
            for old in set(self._folder.glob(f'{stem}_iter_*.pth')) - {path}:
                old.unlink()


def _from_main_process(value: bool) -> bool:
    """The value in the main process, which alone sees the files that it writes."""
    values = [value]
    broadcast_object_list(values)
    return values[0]


def _state(runner, iteration: int, config: str) -> dict[str, Any]:
    """The state that resuming needs.

    It has no random states: every seed follows from its place in the run.
    """
    model = unwrap_model(runner.model)
    meta = dict(
        epoch=runner.epoch,
        iter=iteration,
        cfg=config,
        seed=runner.seed,
        experiment_name=runner.experiment_name,
        time=time.strftime('%Y%m%d_%H%M%S'),
        mmengine_version=mmengine.__version__,
        mmadm_version=__version__,
        dataset_meta=getattr(runner.train_dataloader.dataset, 'metainfo', None),
        scaling=scaling(model),
    )
    state = dict(
        meta=meta,
        state_dict=model.state_dict(),
        message_hub=runner.message_hub.state_dict(),
        optimizer=runner.optim_wrapper.state_dict(),
        param_schedulers=_schedulers(runner.param_schedulers),
    )
    runner.call_hook('before_save_checkpoint', checkpoint=state)
    return state | {key: to_plain(state[key]) for key in ('message_hub', 'meta')}


def _schedulers(schedulers: Any) -> Any:
    """One list of states, or one per optimizer."""
    if isinstance(schedulers, dict):
        return {name: _schedulers(items) for name, items in schedulers.items()}
    return [scheduler.state_dict() for scheduler in schedulers or []]
