"""Atomic writing: a file is complete or does not exist. Reading of JSON facts."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.dist import get_rank


@contextmanager
def atomic_write(path: str | Path, durable: bool = False) -> Iterator[Path]:
    """Temporary path, whose file is renamed to ``path`` at the end of the block.

    Folders are created, and each rank has its own temporary name. After an exception
    the temporary file is removed, and a former file at ``path`` stays as it was. The
    permissions of the file follow from the user's mask, whatever wrote it: safetensors
    would allow no other user to read it.

    Args:
        path: the final path.
        durable: flush the file and its name to the disk, so that they survive a loss of
            power; slow for many small files.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'.{path.stem}.part{get_rank()}{path.suffix}')
    part.unlink(missing_ok=True)
    part.touch()
    # Reading the mask itself would mean to set it, for all threads.
    mode = part.stat().st_mode
    try:
        yield part
        part.chmod(mode)
        if durable:
            _flush(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    if durable:
        _flush(path.parent)


def _flush(path: Path) -> None:
    """Flush a file or a folder to the disk."""
    if os.name != 'posix':  # Windows opens no folder, and flushes no file for reading
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_parts(folder: Path) -> None:
    """Remove the temporary files of :func:`atomic_write` in a killed process."""
    for path in folder.glob('.*.part*'):
        path.unlink(missing_ok=True)


def read_json(path: str | Path) -> dict:
    """The names and values of a JSON file.

    Raises:
        ValueError: it is no JSON file, or holds something else.
    """
    try:
        content = json.loads(Path(path).read_text())
    except ValueError as error:
        raise ValueError(f'Not a JSON file: {path} ({error}). Correct it.') from error
    if not isinstance(content, dict):
        raise ValueError(
            f'Facts are names and values, but {path} holds a '
            f'{type(content).__name__}. Write a JSON object: {{"data": "..."}}.'
        )
    return content
