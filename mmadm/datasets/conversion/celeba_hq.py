"""CelebA-HQ at 256 x 256, and its splits for inpainting."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

from mmengine.logging import print_log

from mmadm.datasets.image_dataset import read_names
from mmadm.utils import resize
from mmadm.utils.files import atomic_write
from mmadm.utils.image_files import list_images
from mmadm.utils.images import Filter, read_image

from .conversion_utils import (
    RECORD,
    begin_conversion,
    check_at_least,
    check_count,
    name_by_stem,
    run,
    save_image,
    some,
    write_record,
)

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
    num_workers: int = 0,
    split: Split | None = None,
) -> dict:
    """Resize the square images of a folder, and record how.

    FID depends on the filter and on the files' format, so both are written to
    ``prepared.json`` beside the folder of images, with a hash over all pixels.

    Args:
        source: folder of the images, at any size of at least ``size``.
        out: data root; images go to its folder ``images`` as PNG.
        size: side of the results.
        method: a filter of Pillow.
        check_only: write nothing.
        subset: accept fewer than 30,000 images.
        num_workers: threads, 0 for one per core.
        split: makes lists of the images' names, which are written to ``splits``.

    Returns:
        the record, and the number of names of each list.

    Raises:
        FileNotFoundError: images are missing.
        ValueError: there are too many, two share a name, or one is damaged, too small
            or not square; ``out`` has images of other sources or options.
    """
    source, out = Path(source), Path(out)
    check_at_least(1, size=size)
    if method not in get_args(Filter):
        raise ValueError(f'Unknown filter {method!r}. Use one of {get_args(Filter)}.')
    if (out / 'images').resolve().is_relative_to(source.resolve()):
        raise ValueError(
            f'Results in {out / "images"} would be sources of the next run, because '
            f'they are in {source}. Give another --out.'
        )
    paths = list_images(source)
    check_count(source, len(paths), COUNT, subset, _SOURCE)
    images = name_by_stem(paths)
    splits = split([f'{stem}.png' for stem in images]) if split else {}
    record = dict(count=len(images), size=size, filter=method, format='png')
    counts = {name: len(listed) for name, listed in splits.items()}
    if check_only:
        return record | counts
    earlier = begin_conversion(
        out,
        out / 'images',
        dict(size=size, filter=method),
        {stem: [path] for stem, path in images.items()},
        lambda path: path.stem,
        num_workers,
    )

    def convert(path: Path) -> str:
        return _convert(path, out / 'images' / f'{path.stem}.png', size, method)

    digests = dict(zip(images, run(paths, convert, num_workers, 'Resizing')))
    # In the order of the file names.
    pixels = ''.join(digests[stem] for stem in sorted(images, key='{}.png'.format))
    record['sha256'] = hashlib.sha256(pixels.encode()).hexdigest()
    if earlier.get('sha256', record['sha256']) != record['sha256']:
        raise ValueError(
            f'The images in {out / "images"} were changed after they were made: their '
            f'hash is {record["sha256"][:12]}..., not {earlier["sha256"][:12]}.... '
            'Remove that folder, and run it again.'
        )
    write_record(out / RECORD, record)
    for name, listed in splits.items():
        with atomic_write(out / 'splits' / f'{name}.txt') as part:
            part.write_text('\n'.join(listed) + '\n')
    return record | counts


def _convert(path: Path, target: Path, size: int, method: Filter) -> str:
    """Write the image if it does not exist; SHA-256 of its pixels."""
    if target.is_file():
        image = read_image(target, 'color')
    else:
        image = read_image(path, 'color')
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
    """LaMa's split: 26,000 images to train, 2,000 to validate, 2,000 to test.

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
        ValueError: a list is damaged, or two images have one number.
    """
    by_number = _by_number(names)
    rest, test = (_listed_numbers(Path(lists, file)) for file in _LAMA_LISTS)
    if common := set(rest) & set(test):
        raise ValueError(
            f'{len(common)} images are in both lists of LaMa in {lists}. Copy the two '
            "files again from LaMa's repository."
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
            f'missing: {some(missing)}. Images must be named by their number in '
            'CelebA-HQ, as in CelebAMask-HQ: take the images from there. --subset '
            'accepts a part of them if each of the three lists has some. The config of '
            'inpainting reads these three lists; --split adm_code makes others.'
        )
    return splits


def _listed_numbers(path: Path) -> list[int]:
    """Numbers of the images in one of LaMa's lists.

    Raises:
        FileNotFoundError: the list is missing.
        ValueError: a line is not the name of a numbered image, or is repeated.
    """
    stems = [Path(name).stem for name in read_names(path)]
    wrong = [stem for stem in stems if not stem.isdecimal()]
    if wrong or len(set(map(int, stems))) < len(stems):
        raise ValueError(
            f'Not a list of LaMa: {path} has '
            f'{f"the name {wrong[0]!r}" if wrong else "a name twice"}, but lists each '
            "image once by its number. Copy it again from LaMa's repository."
        )
    return [int(stem) for stem in stems]


def _by_number(names: Sequence[str]) -> dict[int, str]:
    """Names by the image's number; a release that counts from 1 is shifted."""
    numbers: dict[int, str] = {}
    for name in names:
        if not (stem := Path(name).stem).isdecimal():
            continue
        if (number := int(stem)) in numbers:
            raise ValueError(
                f'Two images of the number {number}: {numbers[number]} and {name}. '
                'Remove one of the two.'
            )
        numbers[number] = name
    if COUNT in numbers and 0 not in numbers:
        return {number - 1: name for number, name in numbers.items()}
    if numbers and 0 not in numbers:
        print_log(
            f'Neither 0 nor {COUNT} is among the numbers of the images: they are taken '
            "to count from 0, as in CelebAMask-HQ and in LaMa's lists."
        )
    return numbers


def adm_code_split(names: Sequence[str], num_test: int = 2000) -> dict[str, list[str]]:
    """The split of the authors' code: the last names to test, the rest to train.

    Args:
        names: file names of all images.
        num_test: number of test images.

    Returns:
        the names of each list.

    Raises:
        ValueError: nothing would be left to train or to test.
    """
    names = sorted(names)
    if not 0 < num_test < len(names):
        raise ValueError(
            f'{num_test} of {len(names)} images cannot be set apart for the test. Give '
            'another --num-test, or convert all of CelebA-HQ.'
        )
    return dict(adm_code_train=names[:-num_test], adm_code_test=names[-num_test:])
