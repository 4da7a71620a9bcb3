"""Saves and ends a run on a signal."""

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

from mmadm.registry import HOOKS

from .checkpoint import AtomicCheckpointHook

# Windows has no SIGUSR1.
_SIGNALS = tuple(
    getattr(signal, name) for name in ('SIGTERM', 'SIGUSR1') if hasattr(signal, name)
)


@HOOKS.register_module()
class StopSignalHook(Hook):
    """Saves and ends the run with exit code 0 on SIGTERM or SIGUSR1.

    The run ends after the current iteration, or after the current batch of a
    validation, which is repeated on resume. All processes agree on it. A second signal
    ends the process at once; Ctrl-C always does.

    Args:
        interval: iterations between two exchanges between several processes.
    """

    # Before the checkpoint is written.
    priority = 'LOW'

    def __init__(self, interval: int = 10) -> None:
        self.interval = interval
        self._received = False
        self._former: dict = {}
        self._common_batches = 0

    def before_train(self, runner) -> None:
        """Handle the signals, in this process and in the data workers."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._former = {number: signal.getsignal(number) for number in _SIGNALS}
        for number in _SIGNALS:
            signal.signal(number, self._receive)
        leaving = multiprocessing.RawValue(c_bool, False)
        atexit.register(setattr, leaving, 'value', True)
        for loop in (runner.train_loop, runner.val_loop):
            if loop is not None:
                loader = loop.dataloader
                loader.worker_init_fn = _IgnoreStopSignal(
                    loader.worker_init_fn, leaving
                )

    def _receive(self, number: int, frame) -> None:
        self._received = True
        # A second signal has its usual effect.
        signal.signal(number, signal.SIG_DFL)
        # A data worker that has just started is ended by the same signal. PyTorch must
        # not raise an error about it while the checkpoint is written.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def after_train_iter(
        self, runner, batch_idx: int, data_batch=None, outputs: dict | None = None
    ) -> None:
        """Stop if any process received a signal."""
        if is_distributed() and (runner.iter + 1) % self.interval:
            return
        if not self._agreed():
            return
        runner.logger.warning(
            'Stopped by a signal: saving. Add --resume to continue from here.'
        )
        runner.train_loop.stop_training = True
        # No validation on the way out.
        runner.train_loop.val_begin = float('inf')

    def before_val_epoch(self, runner) -> None:
        """Find the number of batches that every process has."""
        batches = torch.tensor(len(runner.val_dataloader))
        all_reduce(batches, 'min')
        self._common_batches = int(batches)

    def after_val_iter(
        self, runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        """End a validation, and save the trained weights, not their average."""
        if batch_idx >= self._common_batches or not self._agreed():
            return
        runner.logger.warning(
            'Stopped by a signal during validation: saving. Add --resume to repeat the '
            'validation and continue.'
        )
        # Frees the weights that a sharded model has gathered.
        runner.model.train()
        for hook in runner.hooks:
            if isinstance(hook, EMAHook):
                hook.after_val_epoch(runner)
        for hook in runner.hooks:
            if isinstance(hook, AtomicCheckpointHook):
                hook.save(runner, runner.iter)
        runner.visualizer.close()
        raise SystemExit(0)

    def after_train(self, runner) -> None:
        """Restore the former handlers."""
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _agreed(self) -> bool:
        received = torch.tensor(int(self._received))
        all_reduce(received, 'max')
        return bool(received)


class _IgnoreStopSignal:
    """Start function of data workers that ignore the first signal to all processes.

    Otherwise the workers would end first and the run would fail. The second signal ends
    them, and so does the signal that Python sends when the run itself ends: it never
    waits for its workers, and they never outlive it.
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
