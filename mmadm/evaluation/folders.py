"""Folders of answers, scored without a model."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from mmadm.utils.images import read_grey  # noqa: F401

_PICTURES = ('.png', '.jpg', '.jpeg', '.bmp')


class Pair(NamedTuple):
    """Files of one picture."""

    name: str
    pred: Path
    truth: Path


def find_pairs(
    pred_dir: str | Path,
    truth_dir: str | Path,
    truth_suffixes: Sequence[str] = _PICTURES,
    subset: bool = False,
) -> list[Pair]:
    """Pictures and truths of one name, sorted by it.

    Args:
        pred_dir: folder with the answers.
        truth_dir: folder with the truths.
        truth_suffixes: in lower case, with dots.
        subset: leave out truths without an answer, instead of refusing them.

    Raises:
        FileNotFoundError: a folder is missing or empty, or a file has no partner.
        ValueError: two files of a folder have the same name.
    """
    preds = _by_stem(Path(pred_dir), _PICTURES)
    truths = _by_stem(Path(truth_dir), truth_suffixes)
    lonely = sorted(preds.keys() - truths.keys())
    if lonely:
        raise FileNotFoundError(
            f'No truth for {_some(lonely)} of {pred_dir} in {truth_dir}. Files of a '
            'pair have the same name; remove what is no answer.'
        )
    missing = sorted(truths.keys() - preds.keys())
    if missing and not subset:
        raise FileNotFoundError(
            f'No answer to {_some(missing)} of {truth_dir} in {pred_dir}. Add them, or '
            'score what there is with --subset.'
        )
    return [Pair(name, preds[name], truths[name]) for name in sorted(preds)]


def _by_stem(folder: Path, suffixes: Sequence[str]) -> dict[str, Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f'Folder not found: {folder}. Check the path.')
    paths = [
        path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in suffixes and not path.name.startswith('.')
    ]
    if not paths:
        raise FileNotFoundError(
            f'No {", ".join(suffixes)} in {folder}. Name the folder in which the files '
            'themselves are.'
        )
    found = {}
    for path in paths:
        if path.stem in found:
            raise ValueError(
                f'Two files of one name: {found[path.stem]} and {path}. Keep one.'
            )
        found[path.stem] = path
    return found


def _some(names: Sequence[str], number: int = 5) -> str:
    more = f' and {len(names) - number} more' if len(names) > number else ''
    return ', '.join(names[:number]) + more


def in_threads(
    function: Callable, items: Iterable, num_workers: int | None = None
) -> Iterator:
    """``function`` of each item, in order; whoever stops asking stops the work.

    Args:
        function: releases the lock of the interpreter where it takes long.
        items: its arguments.
        num_workers: threads, None for one per core.
    """
    with ThreadPoolExecutor(num_workers or os.cpu_count()) as pool:
        futures = [pool.submit(function, item) for item in items]
        try:
            for future in futures:
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)
