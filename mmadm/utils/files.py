"""Files that are there as a whole, or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.dist import get_rank


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """A temporary name that becomes ``path`` when the block ends well.

    Folders are made as needed, and each rank has a name of its own. What an interrupted
    block has written is removed, and a file that was there before stays as it was. Who
    may read the file is up to the user's mask, whatever wrote it: safetensors would
    keep it from all others.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'.{path.stem}.part{get_rank()}{path.suffix}')
    part.unlink(missing_ok=True)
    part.touch()
    # To ask for the mask itself would be to set it, for all threads.
    usual = part.stat().st_mode
    try:
        yield part
        part.chmod(usual)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
