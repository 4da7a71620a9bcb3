"""Keeps a run alive when its log cannot be written."""

import functools
import logging
from collections.abc import Callable
from typing import Any

from mmengine.hooks import Hook

from mmadm.engine.private_api import log_backends
from mmadm.registry import HOOKS

_WRITING = (
    'add_config',
    'add_graph',
    'add_image',
    'add_scalar',
    'add_scalars',
    'close',
)


@HOOKS.register_module()
class LogFailureHook(Hook):
    """Lets a run go on when its log cannot be written, for instance on a full disk.

    Each log (text, JSON, TensorBoard, ...) warns once. Text and JSON continue when
    there is space again; TensorBoard's writer ends at its first error.
    """

    # Before anything is logged.
    priority = 'VERY_HIGH'

    def before_run(self, runner) -> None:
        """Guard all logs of the run."""
        for handler in runner.logger.handlers:
            if isinstance(handler, logging.FileHandler):
                handler.handleError = _Report(runner.logger, handler.baseFilename)
        for name, backend in log_backends(runner.visualizer).items():
            report = _Report(runner.logger, name)
            for method in _WRITING:
                if hasattr(backend, method):
                    guarded = _guarded(getattr(backend, method), report)
                    setattr(backend, method, guarded)


class _Report:
    """Warns of the first failure of a log. Called while the error is handled."""

    def __init__(self, logger: logging.Logger, log: str) -> None:
        self.logger = logger
        self.log = log
        self.done = False

    def __call__(self, error: Any) -> None:
        if self.done:
            return
        self.done = True
        cause = f' ({error})' if isinstance(error, OSError) else ''
        self.logger.warning(
            f'The log cannot be written: {self.log}{cause}. Training goes on. Free '
            'some space on this disk.'
        )


def _guarded(method: Callable, report: _Report) -> Callable:
    @functools.wraps(method)
    def wrapper(*args, **kwargs) -> Any:
        try:
            return method(*args, **kwargs)
        except OSError as error:
            report(error)

    return wrapper
