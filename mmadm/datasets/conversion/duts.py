"""DUTS: nothing is converted, but images and masks must fit."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from PIL import Image

from mmadm.utils.image_files import pair_folders
from mmadm.utils.images import FORMATS, read_image

from .conversion_utils import check_count, raise_all, run

#: Pairs of each part (Wang et al., CVPR 2017).
COUNTS = {'DUTS-TR': 10553, 'DUTS-TE': 5019}


def check_duts(
    data_root: str | Path,
    subset: bool = False,
    decode: bool = True,
    workers: int = 0,
) -> dict[str, int]:
    """Check that every image has a mask of its size, and that both can be read.

    Args:
        data_root: has ``DUTS-TR`` and ``DUTS-TE`` in it, as unpacked.
        subset: be content with some of the pairs.
        decode: read each file to its end; otherwise only its header.
        workers: threads, 0 for one per core.

    Returns:
        how many pairs each part has.

    Raises:
        FileNotFoundError: a folder or pairs are missing.
        ValueError: files do not pair up, are broken, or differ in size.
    """
    check = partial(_problem, size=_decoded_size if decode else _size)
    counts = {}
    for part, expected in COUNTS.items():
        folder = Path(data_root, part, f'{part}-Image')
        mask_folder = Path(data_root, part, f'{part}-Mask')
        pairs = list(pair_folders(folder, mask_folder).values())
        check_count(folder, len(pairs), expected, subset, f'{part}.zip')

        problems = run(pairs, check, workers, f'Checking {part}')
        raise_all(problems, f'pairs of {part} are wrong')
        counts[part] = len(pairs)
    return counts


def _problem(pair: tuple[Path, Path], size: Callable) -> str | None:
    image, mask = pair
    try:
        sizes = size(image, 'color'), size(mask, 'grayscale')
    except (ValueError, OSError) as error:
        return str(error)
    if sizes[0] != sizes[1]:
        return f'{image} is {sizes[0]}, its mask {mask} is {sizes[1]} (H, W)'
    return None


def _decoded_size(path: Path, color: str) -> tuple[int, int]:
    return read_image(str(path), color).shape[:2]


def _size(path: Path, color: str) -> tuple[int, int]:
    with Image.open(path, formats=FORMATS) as image:
        return image.height, image.width
