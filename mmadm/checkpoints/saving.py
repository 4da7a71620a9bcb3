"""Atomic saving: a whole checkpoint is on the disk at any moment."""

import logging
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor

from mmadm.utils.files import atomic_write

from .reading import read_checkpoint

POINTER = 'last_checkpoint'


def write_checkpoint(checkpoint: dict, path: Path) -> None:
    """Save a checkpoint straight to the disk, without a copy in memory.

    Raises:
        OSError: the disk is full, or the file could not be written for another reason.
    """
    needed, free = sum(_sizes(checkpoint)), shutil.disk_usage(path.parent).free
    if needed > free:
        raise OSError(f'it needs {_mb(needed)}, but {_mb(free)} of the disk are free')
    try:
        with atomic_write(path, durable=True) as part, part.open('wb') as file:
            torch.save(checkpoint, file)
    except RuntimeError as error:
        # What torch makes of a disk that takes no more.
        raise OSError(str(error).split('\n')[0]) from error


def _sizes(value: Any) -> Iterator[int]:
    if isinstance(value, Tensor):
        yield value.nbytes
    elif isinstance(value, dict):
        for item in value.values():
            yield from _sizes(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _sizes(item)


def _mb(size: int) -> str:
    return f'{size / 1e6:.1f} MB'


def point_at(path: Path) -> None:
    """Record ``path`` in the pointer file as the newest checkpoint of its folder."""
    with atomic_write(path.with_name(POINTER), durable=True) as part:
        part.write_text(str(path))


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run, the one written last first."""
    numbered = [
        (path.stat().st_mtime_ns, int(match[1]), path)
        for path in folder.glob('iter_*.pth')
        if (match := re.fullmatch(r'iter_(\d+)\.pth', path.name)) and path.is_file()
    ]
    return [path for *_, path in sorted(numbered, reverse=True)]


def find_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint of a run; None where there is none at all.

    The pointer file says which is the newest; only the name in it counts, so that the
    folder can be moved. Damaged files are passed over with a warning.

    Raises:
        ValueError: there are checkpoints, and all of them are damaged.
    """
    pointer = folder / POINTER
    candidates = checkpoints(folder)
    if pointer.is_file():
        # A pointer that is damaged itself names no file.
        named = folder / Path(pointer.read_text(errors='replace').strip()).name
        if named in candidates:
            candidates.remove(named)
            candidates.insert(0, named)
    problems = []
    for path in candidates:
        try:
            read_checkpoint(path, keep=True)
        except ValueError as error:
            problems.append(str(error))
            continue
        for problem in problems:
            print_log(
                f'{problem} Going on from {path} instead.', 'current', logging.WARNING
            )
        return path
    if problems:
        raise ValueError(
            f'No checkpoint in {folder} can be read: {" ".join(problems)} Give another '
            'one with --resume, or start again in an empty work directory.'
        )
    return None
