"""Files that are there as a whole, or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.dist import get_rank


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A temporary name that becomes ``path`` when the block ends well.

    Folders are made as needed, and each rank has a name of its own. What an interrupted
    block has written is removed, and a file that was there before stays as it was. Who
    may read the file is up to the user's mask, whatever wrote it: safetensors would
    keep it from all others.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'.{path.stem}.part{get_rank()}{path.suffix}')
    try:
        yield part
        mask = os.umask(0)
        os.umask(mask)
        part.chmod(0o666 & ~mask)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
