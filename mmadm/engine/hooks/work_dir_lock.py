"""Lock of the work directory."""

import contextlib
import errno
import os
import socket
from pathlib import Path
from typing import TextIO

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import Hook

from mmadm.registry import HOOKS

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

LOCK = '.training.lock'


@HOOKS.register_module()
class WorkDirLockHook(Hook):
    """Refuses a second training in the same work directory.

    The operating system holds the lock for this process and releases it when the
    process ends, however it ends: a killed run leaves nothing that blocks the next one.
    The file of the lock stays, and means nothing by itself. Data workers do not inherit
    the lock.
    """

    # Before anything is written.
    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._file: TextIO | None = None

    def before_train(self, runner) -> None:
        """Take the lock, in the main process.

        Raises:
            ValueError: another process trains in this work directory.
        """
        path = Path(runner.work_dir, LOCK)
        owner = [self._lock(path, runner) if is_main_process() else None]
        broadcast_object_list(owner)
        if owner[0] is not None:
            raise ValueError(
                f'Another training runs in {runner.work_dir}: {owner[0]}. Wait for its '
                'end, or choose another --work-dir.'
            )

    def _lock(self, path: Path, runner) -> str | None:
        """Lock the file; returns who holds it already."""
        try:
            self._file = path.open('a+')
            _lock_exclusively(self._file)
        except OSError as error:
            if self._file is not None and error.errno in (errno.EACCES, errno.EAGAIN):
                self._file.seek(0)
                return self._file.read().strip() or 'an unknown process'
            runner.logger.warning(
                f'The work directory could not be locked: {path} ({error}). Do not '
                'start a second training there.'
            )
            return None
        with contextlib.suppress(OSError):  # a full disk
            self._file.truncate(0)
            self._file.write(f'process {os.getpid()} on {socket.gethostname()}\n')
            self._file.flush()
        return None

    def after_train(self, runner) -> None:
        """Release the lock."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _lock_exclusively(file: TextIO) -> None:
    if fcntl is None:
        raise OSError('this system has no such locks')
    # Not flock, whose locks data workers would inherit and outlive.
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
