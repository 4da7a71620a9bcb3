"""BSDS500: augmented training pairs.

As for HED (Xie and Tu, ICCV 2015) and its successors: the 300 images of train and val
at 16 angles, mirrored or not, at three scales make 28,800 pairs. The map is the mean of
the annotators. Test images are not converted: their ``.mat`` files are read directly.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from mmadm.datasets.transforms.edges import mean_map
from mmadm.utils import resize
from mmadm.utils.bsds import read_boundaries
from mmadm.utils.image_files import pair_folders
from mmadm.utils.images import read_image

from .conversion_utils import (
    begin_conversion,
    check_count,
    name_by_stem,
    raise_all,
    run,
    save_image,
)

#: Images of each part.
COUNTS = dict(train=200, val=100, test=200)
_SOURCE = 'BSR_bsds500.tgz'


def prepare_bsds500(
    data_root: str | Path,
    angles: int = 16,
    scales: Sequence[float] = (0.5, 1.0, 1.5),
    check_only: bool = False,
    subset: bool = False,
    num_workers: int = 0,
) -> dict[str, int]:
    """Check images and ground truth; write augmented pairs of train and val.

    Args:
        data_root: contains ``images`` and ``groundTruth``, each with ``train``, ``val``
            and ``test``. ``augmented/images`` (JPEG) and ``augmented/edges`` (PNG) are
            written beside them.
        angles: number of rotations, evenly spread over the full turn.
        scales: of each rotated pair.
        check_only: write nothing.
        subset: accept a part of the images.
        num_workers: threads, 0 for one per core.

    Returns:
        number of images of each kind.

    Raises:
        FileNotFoundError: a folder or images are missing.
        ValueError: files do not pair up, are damaged, or differ in size; the existing
            pairs have other angles, scales or sources.
    """
    root = Path(data_root)
    # File names have one decimal of the angle and six digits of the scale.
    names = {f'{scale:g}' for scale in scales}
    usable = scales and all(0.01 <= scale <= 10 for scale in scales)
    if not 1 <= angles <= 3600 or not usable or len(names) < len(scales):
        raise ValueError(
            f'{angles} angles at the scales {list(scales)} are not possible. Give 1 to '
            '3600 angles, and different scales from 0.01 to 10.'
        )
    pairs = {part: _pairs(root, part, subset) for part in COUNTS}
    everything = [pair for found in pairs.values() for pair in found]
    raise_all(run(everything, _problem, num_workers, 'Checking'), 'pairs are wrong')
    counts = {part: len(found) for part, found in pairs.items()}
    if check_only:
        return counts

    originals = [*pairs['train'], *pairs['val']]
    images = name_by_stem([image for image, _ in originals])
    begin_conversion(
        root / 'augmented',
        root / 'augmented',
        dict(angles=angles, scales=[*scales]),
        dict(zip(images, originals)),
        lambda path: path.stem.rsplit('_', 3)[0],
        num_workers,
    )
    turns = [360 / angles * index for index in range(angles)]

    def augment(pair: tuple[Path, Path]) -> int:
        return _augment(*pair, root / 'augmented', turns, scales)

    counts['augmented'] = sum(run(originals, augment, num_workers, 'Augmenting'))
    return counts


def _pairs(root: Path, part: str, subset: bool) -> list[tuple[Path, Path]]:
    folder, gt_folder = root / 'images' / part, root / 'groundTruth' / part
    pairs = pair_folders(folder, gt_folder, ('.mat',), 'ground truth')
    check_count(folder, len(pairs), COUNTS[part], subset, _SOURCE)
    return list(pairs.values())


def _problem(pair: tuple[Path, Path]) -> str | None:
    image_path, gt_path = pair
    try:
        size = read_image(image_path, 'color').shape[:2]
        edges = read_boundaries(gt_path)
    except ValueError as error:
        return str(error)
    if edges.shape[1:] != size:
        return f'{image_path} is {size}, {gt_path} is {edges.shape[1:]} (H, W)'
    return None


def _augment(
    image_path: Path,
    gt_path: Path,
    folder: Path,
    turns: Sequence[float],
    scales: Sequence[float],
) -> int:
    """Write the missing variants of one pair; their number in all."""
    image = edges = None
    count = 0
    for turn in turns:
        variants = {
            (scale, mirrored): f'{image_path.stem}_{turn:05.1f}_{scale:g}_{mirrored:d}'
            for scale in scales
            for mirrored in (False, True)
        }
        count += len(variants)
        missing = {
            variant: name
            for variant, name in variants.items()
            if not all(path.is_file() for path in _files(folder, name))
        }
        if missing and image is None:
            image = read_image(image_path, 'color')
            edges = mean_map(read_boundaries(gt_path))
        if missing:
            turned = rotated(image, turn), rotated(edges, turn)
        for (scale, mirrored), name in missing.items():
            photo, map_ = (_variant(array, scale, mirrored) for array in turned)
            options = dict(quality=95, subsampling=0)
            image_file, edges_file = _files(folder, name)
            save_image(photo, image_file, **options)
            save_image(map_, edges_file)
    return count


def _files(folder: Path, name: str) -> tuple[Path, Path]:
    return folder / 'images' / f'{name}.jpg', folder / 'edges' / f'{name}.png'


def _variant(array: np.ndarray, scale: float, mirrored: bool) -> np.ndarray:
    size = [max(1, round(side * scale)) for side in array.shape[:2]]
    array = resize(array, size, 'bilinear') if scale != 1 else array
    return np.ascontiguousarray(array[:, ::-1]) if mirrored else array


def rotated(image: np.ndarray, degrees: float) -> np.ndarray:
    """The largest upright rectangle inside the rotated image.

    Args:
        image: (H, W, 3) or (H, W), uint8.
        degrees: counter-clockwise; multiples of 90 move pixels without mixing them.
    """
    if degrees % 90 == 0:
        return np.ascontiguousarray(np.rot90(image, int(degrees // 90)))
    turned = Image.fromarray(image).rotate(
        degrees, Image.Resampling.BILINEAR, expand=True
    )
    height, width = inscribed(*image.shape[:2], math.radians(degrees))
    top, left = (turned.height - height) // 2, (turned.width - width) // 2
    return np.array(turned.crop((left, top, left + width, top + height)))


def inscribed(height: int, width: int, angle: float) -> tuple[int, int]:
    """(H, W) of the largest upright rectangle in a rectangle turned by ``angle``."""
    sin, cos = abs(math.sin(angle)), abs(math.cos(angle))
    long, short = max(height, width), min(height, width)
    if short <= 2 * sin * cos * long or abs(sin - cos) < 1e-10:
        # Two corners touch the long sides.
        half = short / 2
        w, h = (half / sin, half / cos) if width >= height else (half / cos, half / sin)
    else:
        # All four corners touch a side.
        cos_2a = cos**2 - sin**2
        w = (width * cos - height * sin) / cos_2a
        h = (height * cos - width * sin) / cos_2a
    return math.floor(h), math.floor(w)
