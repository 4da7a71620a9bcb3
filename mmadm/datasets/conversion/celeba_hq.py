"""CelebA-HQ at 256 x 256, and its splits for inpainting."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

from mmadm.datasets.image_dataset import read_names
from mmadm.utils import resize
from mmadm.utils.files import atomic_write
from mmadm.utils.image_files import list_images
from mmadm.utils.images import Filter, read_image

from .conversion_utils import check_count, remember, run, save_image, some, write_record

COUNT = 30000
#: From the names of all images to named lists of them.
Split = Callable[[Sequence[str]], dict[str, list[str]]]
_SOURCE = 'CelebA-HQ'
#: LaMa's lists, as its repository has them: 28,000 and 2,000 names.
_LAMA_LISTS = ('train_shuffled.flist', 'val_shuffled.flist')


def prepare_celeba_hq(
    source: str | Path,
    out: str | Path,
    size: int = 256,
    method: Filter = 'bilinear',
    check_only: bool = False,
    subset: bool = False,
    workers: int = 0,
    split: Split | None = None,
) -> dict:
    """Resize square images of a folder, and record how.

    FID depends on the filter and on the files' format, so both are written to
    ``prepared.json`` beside the images' folder, with a hash over all pixels.

    Args:
        source: folder of the images, at any size of at least ``size``.
        out: data root; images go to its folder ``images`` as PNG.
        size: side of the result.
        method: one of Pillow's filters.
        check_only: write nothing.
        subset: be content with less than 30,000.
        workers: threads, 0 for one per core.
        split: makes lists of the images' names, which are written to ``splits``.

    Returns:
        what is recorded, and how many names each list has.

    Raises:
        FileNotFoundError: images are missing.
        ValueError: there are too many, two share a name, or one is broken, too small
            or not square.
    """
    source, out = Path(source), Path(out)
    if method not in get_args(Filter):
        raise ValueError(f'Unknown filter {method!r}. Use one of {get_args(Filter)}.')
    paths = list_images(source)
    check_count(source, len(paths), COUNT, subset, _SOURCE)
    names = _names(paths)
    splits = split(names) if split else {}
    record = dict(count=len(paths), size=size, filter=method, format='png')
    counts = {name: len(listed) for name, listed in splits.items()}
    if check_only:
        return record | counts
    remember(out / 'prepared.json', dict(size=size, filter=method))

    def convert(path: Path) -> str:
        return _convert(path, out / 'images' / f'{path.stem}.png', size, method)

    digests = dict(zip(names, run(paths, convert, workers, 'Resizing')))
    pixels = ''.join(digests[name] for name in sorted(names))
    record['sha256'] = hashlib.sha256(pixels.encode()).hexdigest()
    write_record(out / 'prepared.json', record)
    for name, listed in splits.items():
        with atomic_write(out / 'splits' / f'{name}.txt') as part:
            part.write_text('\n'.join(listed) + '\n')
    return record | counts


def _names(paths: Sequence[Path]) -> list[str]:
    """Names of the results, which are all in one folder."""
    seen: dict[str, Path] = {}
    for path in paths:
        if path.stem in seen:
            raise ValueError(
                f'Two images of one name: {seen[path.stem]} and {path}. Give the '
                'folder of one of them only.'
            )
        seen[path.stem] = path
    return [f'{stem}.png' for stem in seen]


def _convert(path: Path, target: Path, size: int, method: Filter) -> str:
    """Write the image if it is not there; SHA-256 of its pixels."""
    if target.is_file():
        image = read_image(str(target), 'color')
    else:
        image = read_image(str(path), 'color')
        height, width = image.shape[:2]
        if height != width or height < size:
            raise ValueError(
                f'{path} is {height}x{width}, not a square of at least {size}. Take '
                'the aligned images of CelebA-HQ.'
            )
        if height != size:
            image = resize(image, (size, size), method)
        save_image(image, target)
    return hashlib.sha256(image.tobytes()).hexdigest()


def lama_split(
    names: Sequence[str], lists: str | Path, subset: bool = False
) -> dict[str, list[str]]:
    """LaMa's split: 26,000 to train, 2,000 to validate, 2,000 to test.

    LaMa draws its validation images from 28,000 without a seed; here they are the
    first 2,000 of its shuffled list, so that everyone has the same.

    Args:
        names: file names of all images, numbers from 0 or 1.
        lists: folder of LaMa's lists.
        subset: leave out what is listed, but is not among the names.

    Returns:
        the names of each list.

    Raises:
        FileNotFoundError: a list, or an image that is listed, is missing.
    """
    by_number = _by_number(names)
    rest, test = (
        [int(Path(name).stem) for name in read_names(Path(lists, file))]
        for file in _LAMA_LISTS
    )
    splits = {
        name: [by_number[number] for number in numbers if number in by_number]
        for name, numbers in (
            ('lama_train', rest[2000:]),
            ('lama_val', rest[:2000]),
            ('lama_test', test),
        )
    }
    missing = [str(number) for number in (*rest, *test) if number not in by_number]
    if missing and not (subset and all(splits.values())):
        raise FileNotFoundError(
            f"{len(missing)} of the {len(rest) + len(test)} images of LaMa's lists are "
            f'not there: {some(missing)}. Images must be named by their number in '
            'CelebA-HQ, as in CelebAMask-HQ. Give all of them, or use --split adm_code.'
        )
    return splits


def _by_number(names: Sequence[str]) -> dict[int, str]:
    """Names by the image's number; a release that counts from 1 is shifted."""
    numbers = {int(Path(n).stem): n for n in names if Path(n).stem.isdigit()}
    if COUNT in numbers and 0 not in numbers:
        return {number - 1: name for number, name in numbers.items()}
    return numbers


def adm_code_split(names: Sequence[str], num_test: int = 2000) -> dict[str, list[str]]:
    """The split of the authors' code: the last names to test, the rest to train.

    Args:
        names: file names of all images.
        num_test: how many are tested.

    Returns:
        the names of each list.

    Raises:
        ValueError: nothing would be left to train or to test.
    """
    names = sorted(names)
    if not 0 < num_test < len(names):
        raise ValueError(
            f'{num_test} of {len(names)} images cannot be set apart for the test. Give '
            'another --num-test, or prepare all of CelebA-HQ.'
        )
    return dict(adm_code_train=names[:-num_test], adm_code_test=names[-num_test:])
