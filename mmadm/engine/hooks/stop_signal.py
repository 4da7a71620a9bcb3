"""Leaving in good order when the machine is taken away."""

import atexit
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from ctypes import c_bool

import torch
from mmengine.dist import all_reduce, is_distributed
from mmengine.hooks import EMAHook, Hook
from mmengine.runner import Runner

from mmadm.registry import HOOKS

from .checkpoint import AtomicCheckpointHook
from .sharding import ShardingHook

_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


@HOOKS.register_module()
class StopSignalHook(Hook):
    """Saves and ends the run with exit code 0 on SIGTERM or SIGUSR1.

    It ends after the iteration at hand (with accumulated gradients: after their step),
    or after the batch at hand of a validation, which is made up for on resume. All
    processes agree on it. A second signal ends the process at once; Ctrl-C always does.

    Args:
        interval: every how many iterations several processes ask each other.
    """

    # Before the checkpoint is written.
    priority = 'LOW'

    def __init__(self, interval: int = 10) -> None:
        self.interval = interval
        self._asked = False
        self._former: dict = {}
        self._common_batches = 0

    def before_train(self, runner) -> None:
        """Listen, in this process and in the data workers."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._former = {number: signal.getsignal(number) for number in _SIGNALS}
        for number in _SIGNALS:
            signal.signal(number, self._ask)
        leaving = multiprocessing.RawValue(c_bool, False)
        atexit.register(setattr, leaving, 'value', True)
        for loop in (runner.train_loop, runner.val_loop):
            if loop is not None:
                loader = loop.dataloader
                loader.worker_init_fn = _Deaf(loader.worker_init_fn, leaving)

    def _ask(self, number: int, frame) -> None:
        self._asked = True
        # The second one finds the usual answer.
        signal.signal(number, signal.SIG_DFL)
        # A worker that has only just started ends by the same signal. The saving must
        # not be interrupted by the news of it.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def after_train_iter(
        self, runner, batch_idx: int, data_batch=None, outputs: dict | None = None
    ) -> None:
        """Stop if anyone was asked to."""
        if is_distributed() and (runner.iter + 1) % self.interval:
            return
        if not _is_step(runner) or not self._agreed():
            return
        runner.logger.warning(
            'Asked to stop by a signal: saving. Add --resume to go on from here.'
        )
        runner.train_loop.stop_training = True
        # No validation on the way out.
        runner.train_loop.val_begin = float('inf')

    def before_val_epoch(self, runner) -> None:
        """Count the batches that every process has."""
        batches = torch.tensor(len(runner.val_dataloader))
        all_reduce(batches, 'min')
        self._common_batches = int(batches)

    def after_val_iter(
        self, runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        """Leave a validation, with the weights as they are trained."""
        if batch_idx >= self._common_batches or not self._agreed():
            return
        runner.logger.warning(
            'Asked to stop by a signal during validation: saving. Add --resume to '
            'repeat it and go on.'
        )
        for hook in runner.hooks:
            if isinstance(hook, ShardingHook | EMAHook):
                hook.after_val_epoch(runner)
        for hook in runner.hooks:
            if isinstance(hook, AtomicCheckpointHook):
                hook.save(runner, runner.iter)
        runner.visualizer.close()
        raise SystemExit(0)

    def after_train(self, runner) -> None:
        """Listen no longer."""
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _agreed(self) -> bool:
        asked = torch.tensor(int(self._asked))
        all_reduce(asked, 'max')
        return bool(asked)


def _is_step(runner: Runner) -> bool:
    """Whether no gradient waits for the rest of its batch."""
    wrapper = runner.optim_wrapper
    wrappers = wrapper.values() if hasattr(wrapper, 'values') else [wrapper]
    return all(wrapper.should_update() for wrapper in wrappers)


class _Deaf:
    """Starts a data worker that takes no notice of a signal to all processes.

    Else the workers end first and take the run with them. The second signal ends them,
    and so does the first one that Python sends when the run itself is leaving: workers
    never outlive it, and it never waits for them.
    """

    def __init__(self, start: Callable[[int], None] | None, leaving) -> None:
        self.start = start
        self.leaving = leaving

    def __call__(self, worker_id: int) -> None:
        for number in _SIGNALS:
            signal.signal(number, self._once)
        if self.start is not None:
            self.start(worker_id)

    def _once(self, number: int, frame) -> None:
        signal.signal(number, signal.SIG_DFL)
        if self.leaving.value:
            # An end by the signal itself would be reported as a failed worker.
            os._exit(0)
