"""Atomic writing of files."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.dist import get_rank


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """A temporary file that is renamed to ``path`` when the block succeeds.

    Missing folders are created. Each rank has a temporary file of its own. If the block
    fails, the temporary file is removed, and an existing file remains unchanged. The
    permissions are those of the user's umask, whatever library writes the file
    (safetensors denies them to other users).
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'.{path.stem}.part{get_rank()}{path.suffix}')
    part.unlink(missing_ok=True)
    part.touch()
    # The umask cannot be read without setting it, for all threads.
    usual = part.stat().st_mode
    try:
        yield part
        part.chmod(usual)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
