"""Helpers of the dataset converters: checks, records, progress, files."""

import json
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from mmadm.datasets.content_hash import file_hash
from mmadm.utils.files import atomic_write
from mmadm.utils.image_files import list_images
from mmadm.utils.images import read_image

T = TypeVar('T')

RECORD, SOURCES = 'prepared.json', 'sources.json'


def run(
    jobs: Collection[Any], function: Callable[[Any], T], num_workers: int, title: str
) -> list[T]:
    """Results of ``function`` for each job, in order, with a progress bar.

    Threads are enough: reading, resizing and writing images release Python's lock. An
    interruption or an error ends the run after the jobs that have begun.
    """
    from rich.progress import track

    check_at_least(0, num_workers=num_workers)
    with ThreadPoolExecutor(num_workers or os.cpu_count()) as pool:
        try:
            results = pool.map(function, jobs)
            return list(track(results, total=len(jobs), description=title))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def check_at_least(minimum: int, **arguments: int) -> None:
    """Check numbers that a user gives.

    Raises:
        ValueError: one is smaller than ``minimum``.
    """
    for name, value in arguments.items():
        if not value >= minimum:
            raise ValueError(
                f'{name}={value} is not possible. Give at least {minimum}.'
            )


def check_complete(
    folder: Path, names: Sequence[str], subset: bool, source: str
) -> dict[str, Path]:
    """Images of ``folder`` by name, which should be the official ``names``.

    Args:
        folder: of the images.
        names: file names without suffix.
        subset: accept a part of them.
        source: where the user gets them.

    Raises:
        FileNotFoundError: some are missing, or all.
        ValueError: there are others, or two of one name.
    """
    images = name_by_stem(list_images(folder))
    missing = sorted(set(names) - images.keys())
    if missing and not subset:
        raise FileNotFoundError(
            f'{folder} has {len(names) - len(missing)} of {len(names)} images; missing '
            f'are {some(missing)}. Unpack {source} again, or add --subset to accept a '
            'part of it.'
        )
    foreign = sorted(images.keys() - set(names))
    if foreign:
        raise ValueError(
            f'{folder} has {len(foreign)} images that are not of {source}: '
            f'{some(foreign)}. Move them away.'
        )
    return images


def check_count(
    folder: Path, found: int, expected: int, subset: bool, source: str
) -> None:
    """Check the number of images whose names follow no rule.

    Raises:
        FileNotFoundError: some are missing, and ``subset`` does not allow it.
        ValueError: there are too many.
    """
    if found < expected and not subset:
        raise FileNotFoundError(
            f'{folder} has {found} of {expected} images. Unpack {source} again, or add '
            '--subset to accept a part of it.'
        )
    if found > expected:
        raise ValueError(
            f'{folder} has {found} images, {found - expected} more than {source} has. '
            'Remove what does not belong there.'
        )


def name_by_stem(paths: Sequence[Path]) -> dict[str, Path]:
    """Files by their name without folder and suffix, for results in one folder.

    Raises:
        ValueError: two files have one name.
    """
    named: dict[str, Path] = {}
    for path in paths:
        if path.stem in named:
            raise ValueError(
                f'Two images of one name: {named[path.stem]} and {path}. Results are '
                'named without folder and suffix: rename or remove one of the two.'
            )
        named[path.stem] = path
    return named


def raise_all(problems: Sequence[str | None], kind: str) -> None:
    """One error for all problems, so that they can be solved at once.

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


def begin_conversion(
    folder: Path,
    results: Path,
    options: dict,
    sources: Mapping[str, Sequence[Path]],
    source_of: Callable[[Path], str],
    num_workers: int = 0,
) -> dict:
    """Check that a folder of converted images may be added to, and record how.

    ``prepared.json`` records the options and ``sources.json`` the SHA-256 of the source
    files; both are written before any image is. So what exists was made from these
    sources with these options, also after an interruption.

    Args:
        folder: of the two records.
        results: folder of the converted images.
        options: everything else that decides what is written.
        sources: files that each name is converted from.
        source_of: name of the source of a converted image.
        num_workers: threads, 0 for one per core.

    Returns:
        the earlier record if nothing has changed since, otherwise the options.

    Raises:
        ValueError: the folder was converted with other options, has images of other
            or of unknown sources, or a record is damaged.
    """
    record = _read_json(folder / RECORD)
    differing = [key for key in options if record and record.get(key) != options[key]]
    if differing:
        raise ValueError(
            f'{folder} was converted with '
            f'{ {key: record.get(key) for key in differing} }, not '
            f'{ {key: options[key] for key in differing} }. Remove it, or choose the '
            'same options again.'
        )
    earlier = _read_json(folder / SOURCES)
    existing = _existing(results)
    unknown = [path.name for path in existing if source_of(path) not in earlier]
    if unknown:
        raise ValueError(
            f'{results} has {len(unknown)} images that this command did not make, or '
            f'without a record of their sources: {some(unknown)}. Move them away, or '
            'remove the folder, and run it again.'
        )

    def hashes(name: str) -> list[str]:
        return [file_hash(path) for path in sources[name]]

    found = dict(zip(sources, run(sources, hashes, num_workers, 'Hashing sources')))
    if found == earlier:
        return record
    changed = {name for name in earlier if found.get(name) != earlier[name]}
    stale = [path.name for path in existing if source_of(path) in changed]
    if stale:
        raise ValueError(
            f'{results} has {len(stale)} images whose sources have changed or are gone '
            f'since they were made: {some(stale)}. Remove them, or the folder, and run '
            'it again.'
        )
    write_record(folder / RECORD, options)
    write_record(folder / SOURCES, found)
    return options


def _existing(folder: Path) -> list[Path]:
    try:
        return list_images(folder)
    except FileNotFoundError:
        return []


def _read_json(path: Path) -> dict:
    """The content of a record, nothing if it does not exist.

    Raises:
        ValueError: it is damaged.
    """
    try:
        record = json.loads(path.read_text()) if path.is_file() else {}
        if not isinstance(record, dict):
            raise ValueError(f'a {type(record).__name__}')
    except ValueError as error:
        raise ValueError(
            f'Damaged record of an earlier conversion: {path} ({error}). Remove '
            f'{path.parent} and convert it again.'
        ) from error
    return record


def write_record(path: Path, record: dict) -> None:
    """Write readable JSON."""
    with atomic_write(path) as part:
        part.write_text(json.dumps(record, indent=2))


def problem_of(path: Path) -> str | None:
    """What is wrong with an image file, if anything."""
    try:
        read_image(path, 'color')
    except ValueError as error:
        return str(error)
    return None


def save_image(image: np.ndarray, path: Path, **options) -> None:
    """Write an image completely or not at all."""
    with atomic_write(path) as part:
        Image.fromarray(image).save(part, **options)
