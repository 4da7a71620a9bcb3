"""Counting, writing and waiting, the same for all benchmarks."""

import json
import os
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from mmadm.utils.files import atomic_write
from mmadm.utils.image_files import list_images
from mmadm.utils.images import read_image

T = TypeVar('T')


def run(
    jobs: Collection[Any], function: Callable[[Any], T], workers: int, title: str
) -> list[T]:
    """``function`` of each job, with a progress bar; the results in order.

    Threads are enough: reading, resizing and writing images leave Python's lock. An
    interruption or an error ends it after the jobs that have begun.
    """
    from rich.progress import track

    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        try:
            results = pool.map(function, jobs)
            return list(track(results, total=len(jobs), description=title))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def check_complete(
    folder: Path, names: Sequence[str], subset: bool, source: str
) -> list[Path]:
    """The images of ``folder``, which should have the official ``names``.

    Args:
        folder: where they lie.
        names: file names without suffix.
        subset: be content with some of them.
        source: where the user gets them.

    Raises:
        FileNotFoundError: some are missing, or all.
        ValueError: there are others.
    """
    images = list_images(folder)
    there = {path.stem for path in images}
    missing = sorted(set(names) - there)
    if missing and not subset:
        raise FileNotFoundError(
            f'{folder} has {len(names) - len(missing)} of {len(names)} images; missing '
            f'are {some(missing)}. Unpack {source} again, or add --subset to go on '
            'with what is there.'
        )
    check_foreign(folder, there - set(names), source)
    return images


def check_count(folder: Path, found: int, expected: int, subset: bool, source: str):
    """The number of images whose names follow no rule.

    Raises:
        FileNotFoundError: some are missing, and ``subset`` does not allow it.
        ValueError: there are too many.
    """
    if found < expected and not subset:
        raise FileNotFoundError(
            f'{folder} has {found} of {expected} images. Unpack {source} again, or add '
            '--subset to go on with what is there.'
        )
    if found > expected:
        raise ValueError(
            f'{folder} has {found} images, {found - expected} more than {source} has. '
            'Remove what does not belong there.'
        )


def check_foreign(folder: Path, foreign: Collection[str], source: str) -> None:
    """Images that are not of the data set.

    Raises:
        ValueError: there are some.
    """
    if foreign:
        raise ValueError(
            f'{folder} has {len(foreign)} images that are not of {source}: '
            f'{some(sorted(foreign))}. Move them away.'
        )


def raise_all(problems: Sequence[str | None], kind: str) -> None:
    """One error for all that is wrong, so that it can be put right at once.

    Raises:
        ValueError: there is a problem.
    """
    problems = [problem for problem in problems if problem]
    if problems:
        lines = '\n  '.join(problems[:20])
        more = f'\n  ... and {len(problems) - 20} more' if len(problems) > 20 else ''
        raise ValueError(
            f'{len(problems)} {kind}:\n  {lines}{more}\nRestore or remove these files.'
        )


def some(names: Sequence[str]) -> str:
    """The first few names, and how many there are."""
    shown = ', '.join(names[:10])
    return f'{shown}, ... ({len(names)})' if len(names) > 10 else shown


def remember(path: Path, record: dict) -> None:
    """Write how a folder is being prepared, before anything else is written there.

    So an interrupted preparation goes on only in the way in which it began.

    Args:
        path: ``prepared.json`` of the folder.
        record: all that decides what is written; an earlier one may say more.

    Raises:
        ValueError: the folder was prepared in another way, or the file is broken.
    """
    try:
        earlier = json.loads(path.read_text()) if path.is_file() else record
        differing = [key for key in record if earlier.get(key) != record[key]]
    except (ValueError, AttributeError) as error:
        raise ValueError(
            f'Broken record of an earlier preparation: {path} ({error}). Remove '
            f'{path.parent} and prepare it again.'
        ) from error
    if differing:
        raise ValueError(
            f'{path.parent} was prepared with '
            f'{ {key: earlier.get(key) for key in differing} }, not '
            f'{ {key: record[key] for key in differing} }. Remove it or choose the '
            'same again.'
        )
    if not path.is_file():
        write_record(path, record)


def write_record(path: Path, record: dict) -> None:
    """Write JSON for people."""
    with atomic_write(path) as part:
        part.write_text(json.dumps(record, indent=2))


def problem_of(path: Path) -> str | None:
    """What is wrong with an image file, if anything."""
    try:
        read_image(str(path), 'color')
    except ValueError as error:
        return str(error)
    return None


def save_image(image: np.ndarray, path: Path, **options) -> None:
    """Write a picture as a whole or not at all."""
    with atomic_write(path) as part:
        Image.fromarray(image).save(part, **options)
