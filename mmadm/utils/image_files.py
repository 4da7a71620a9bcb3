"""Listing of image files in folders, and pairing of images with masks and maps.

All parts of mmadm list and pair files by these functions.
"""

import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

A = TypeVar('A')
B = TypeVar('B')

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.webp', '.tif', '.tiff')
#: Folders that systems and archive programs add to the user's.
_SYSTEM_FOLDERS = {'@eaDir', '__MACOSX', '#recycle', '$RECYCLE.BIN'}
# A word that is set off by a sign: _mask, -gt, .jpg; mask_. Numbers are no affixes.
_SUFFIX = re.compile(r'[\W_].*[^\W\d_].*')
_PREFIX = re.compile(r'.*[^\W\d_].*[\W_]')
_ADVICE = (
    'Check the path. That of a dataset consists of data_root and data_prefix in the '
    'config, see docs/en/user_guides/datasets.md.'
)


def list_images(
    folder: str | Path,
    suffixes: Sequence[str] = IMAGE_SUFFIXES,
    kind: str = 'image',
    advice: str = _ADVICE,
) -> list[Path]:
    """All files below ``folder`` that have one of the suffixes, sorted by path.

    Hidden files and folders (``.ipynb_checkpoints``, ``._x.png``) and folders of the
    system (``@eaDir``, ``__MACOSX``) do not count. Links to folders are followed, but
    not to a folder that contains the link.

    Args:
        folder: searched at any depth.
        suffixes: in lower case, with dots; the case of the files does not matter.
        kind: what the files are, for the message.
        advice: last part of the message.

    Raises:
        FileNotFoundError: the folder does not exist, or contains no such file.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'Data folder not found: {folder}. {advice}')
    files = [path for path in _walk(folder, ()) if path.suffix.lower() in suffixes]
    if not files:
        raise FileNotFoundError(
            f'No {kind} ({", ".join(suffixes)}) in the data folder: {folder}. {advice}'
        )
    return sorted(files)


def _walk(folder: Path, parents: tuple[str, ...]) -> Iterator[Path]:
    place = os.path.realpath(folder)
    if place in parents:
        return
    for path in folder.iterdir():
        if path.name.startswith('.') or path.name in _SYSTEM_FOLDERS:
            continue
        if path.is_dir():
            yield from _walk(path, (*parents, place))
        else:
            yield path


def file_name(folder: str | Path, path: Path) -> str:
    """Name of a file for pairing: its path below ``folder`` without suffix."""
    return path.relative_to(folder).with_suffix('').as_posix()


def name_files(folder: str | Path, paths: Sequence[Path]) -> dict[str, Path]:
    """Files by their :func:`file_name`.

    Raises:
        ValueError: two files differ in the suffix alone.
    """
    named: dict[str, Path] = {}
    for path in paths:
        name = file_name(folder, path)
        if name in named:
            raise ValueError(
                f'Two files of one name: {named[name]} and {path}. Files are paired by '
                'their name without suffix; keep one of the two.'
            )
        named[name] = path
    return named


def pair_by_name(
    images: Mapping[str, A],
    partners: Mapping[str, B],
    image_source: str | Path,
    partner_source: str | Path,
    allow_extra: bool = False,
) -> dict[str, tuple[A, B]]:
    """Pairs each image with its mask, map, prediction or ground truth, by name.

    This is the only rule of pairing in mmadm; positions never count. Names are paths
    below a folder without suffix (:func:`name_files`). They are equal, or all of one
    side have one common prefix or suffix that the other side lacks: a word that is
    set off by a sign, such as ``_mask``, ``-gt``, ``.jpg`` or ``mask_``. Either all
    images are paired or none.

    Args:
        images: by name.
        partners: by name.
        image_source: folder of the images, for the message.
        partner_source: folder of the partners, for the message.
        allow_extra: partners without an image are left out; otherwise they are
            refused.

    Returns:
        pairs by the names of the images, in the order of the images.

    Raises:
        ValueError: some have no partner. The message names them.
    """
    candidates = [{name: name for name in images if name in partners}]
    for strip in _affix_strippers(partners):
        keys = {strip(name): name for name in partners}
        candidates.append({name: keys[name] for name in images if name in keys})
    for strip in _affix_strippers(images):
        candidates.append({n: strip(n) for n in images if strip(n) in partners})
    pairs = max(candidates, key=len)

    missing = {
        image_source: sorted(images.keys() - pairs.keys()),
        partner_source: sorted(partners.keys() - set(pairs.values())),
    }
    if allow_extra:
        del missing[partner_source]
    for source, names in missing.items():
        if names:
            raise ValueError(
                f'{len(names)} of the files in {source} have no partner: '
                f'{shorten(names)}. Images are in {image_source}, their partners in '
                f'{partner_source}. They are paired by their path without suffix; all '
                'partners may have one common affix, such as _mask. Rename or remove '
                'what has no partner.'
            )
    return {name: (image, partners[pairs[name]]) for name, image in images.items()}


def pair_folders(
    folder: str | Path,
    partner_folder: str | Path,
    partner_suffixes: Sequence[str] = IMAGE_SUFFIXES,
    partner_kind: str = 'partner of an image',
    allow_extra: bool = False,
) -> dict[str, tuple[Path, Path]]:
    """Pairs of the image files of two folders, see :func:`pair_by_name`.

    Raises:
        FileNotFoundError: a folder does not exist, or is empty.
        ValueError: some have no partner, or two files of a folder have one name.
    """
    images = list_images(folder)
    partners = list_images(partner_folder, partner_suffixes, partner_kind)
    return pair_by_name(
        name_files(folder, images),
        name_files(partner_folder, partners),
        folder,
        partner_folder,
        allow_extra,
    )


def shorten(names: Sequence[str], number: int = 5) -> str:
    """The first few names, and how many more there are."""
    more = f' and {len(names) - number} more' if len(names) > number else ''
    return ', '.join(map(str, names[:number])) + more


def _affix_strippers(names: Iterable[str]) -> Iterator[Callable[[str], str]]:
    """Functions that remove an affix that all names have, the shortest first."""
    ends = [name.rpartition('/')[2] for name in names]
    prefix = _common_start(ends)
    suffix = _common_start([end[::-1] for end in ends])[::-1]
    for length in range(2, min(map(len, ends), default=0)):
        if length <= len(suffix) and _SUFFIX.fullmatch(suffix[-length:]):
            yield lambda name, length=length: name[:-length]
        if length <= len(prefix) and _PREFIX.fullmatch(prefix[:length]):
            yield partial(_without_prefix, length=length)


def _common_start(words: Sequence[str]) -> str:
    first, last = min(words, default=''), max(words, default='')
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, last))
    return ''.join(letter for letter, _ in same)


def _without_prefix(name: str, length: int) -> str:
    folder, slash, end = name.rpartition('/')
    return f'{folder}{slash}{end[length:]}'
