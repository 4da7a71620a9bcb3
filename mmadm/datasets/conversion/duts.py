"""DUTS: a check of images and masks; nothing is converted."""

from pathlib import Path

from mmengine.logging import print_log

from mmadm.utils.image_files import pair_folders
from mmadm.utils.images import read_image, read_mask, read_size

from .conversion_utils import check_count, raise_all, run, some

#: Pairs of each part (Wang et al., CVPR 2017).
COUNTS = {'DUTS-TR': 10553, 'DUTS-TE': 5019}


def check_duts(
    data_root: str | Path,
    subset: bool = False,
    decode: bool = True,
    num_workers: int = 0,
) -> dict[str, int]:
    """Check that every image has a mask of its size, and that both can be read.

    Masks without any object are reported, since a score over them means little.

    Args:
        data_root: contains ``DUTS-TR`` and ``DUTS-TE``, as unpacked.
        subset: accept a part of the pairs.
        decode: read each file to its end; otherwise only its header.
        num_workers: threads, 0 for one per core.

    Returns:
        number of pairs of each part.

    Raises:
        FileNotFoundError: a folder or pairs are missing.
        ValueError: files do not pair up, are damaged, or differ in size; a mask is in
            colours, or not a mask of two values.
    """
    check = _check_pixels if decode else _check_sizes
    counts = {}
    for part, expected in COUNTS.items():
        folder = Path(data_root, part, f'{part}-Image')
        mask_folder = Path(data_root, part, f'{part}-Mask')
        pairs = list(pair_folders(folder, mask_folder).values())
        check_count(folder, len(pairs), expected, subset, f'{part}.zip')

        found = run(pairs, check, num_workers, f'Checking {part}')
        problems, empty = zip(*found)
        raise_all(problems, f'pairs of {part} are wrong')
        names = [mask.name for (_, mask), is_empty in zip(pairs, empty) if is_empty]
        if names:
            print_log(
                f'{len(names)} masks of {part} are black or white everywhere: '
                f'{some(names)}.'
            )
        counts[part] = len(pairs)
    return counts


def _check_pixels(pair: tuple[Path, Path]) -> tuple[str | None, bool]:
    """What is wrong with a pair, if anything; whether its mask has one value only."""
    image, mask = pair
    try:
        pixels = read_mask(mask)
        size = read_image(image, 'color').shape[:2]
    except ValueError as error:
        return str(error), False
    return _compare(image, size, mask, pixels.shape), pixels.all() or not pixels.any()


def _check_sizes(pair: tuple[Path, Path]) -> tuple[str | None, bool]:
    try:
        return _compare(pair[0], read_size(pair[0]), pair[1], read_size(pair[1])), False
    except ValueError as error:
        return str(error), False


def _compare(
    image: Path, size: tuple[int, ...], mask: Path, mask_size: tuple[int, ...]
) -> str | None:
    if size != mask_size:
        return f'{image} is {size}, its mask {mask} is {mask_size} (H, W)'
    return None
