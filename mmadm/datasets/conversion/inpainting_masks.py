"""Fixed masks to score inpainting with."""

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from mmadm.datasets.image_dataset import read_names
from mmadm.datasets.mask_file import encode
from mmadm.datasets.masks import check_kind, scored_mask
from mmadm.utils import mix_seed, resize
from mmadm.utils.image_files import list_images
from mmadm.utils.images import read_image

from .conversion_utils import run, some


def draw_masks(
    names: Sequence[str],
    kind: str,
    size: Sequence[int] = (256, 256),
    seed: int = 0,
    max_hole: float = 0.5,
) -> dict[str, dict]:
    """A mask for each image, drawn once and for all.

    It follows from the seed and the image's name: a part of the images has the masks
    that it has among all.

    Args:
        names: of the image files, without suffix.
        kind: see :data:`mmadm.datasets.masks.MASKS`.
        size: (H, W).
        seed: of this set of masks.
        max_hole: see :func:`mmadm.datasets.masks.scored_mask`.

    Returns:
        entries for :func:`mmadm.datasets.mask_file.write_masks`.
    """
    check_kind(kind)
    if not 0.05 <= max_hole <= 1:
        raise ValueError(
            f'A hole of at most {max_hole} of the image is (nearly) never drawn. Give '
            '--max-hole between 0.05 and 1.'
        )

    def draw(name: str) -> dict:
        rng = np.random.default_rng(mix_seed(seed, zlib.crc32(name.encode())))
        return encode(scored_mask(kind, size, rng, max_hole))

    return dict(zip(names, run(names, draw, 1, 'Drawing')))


def masks_from_folder(
    names: Sequence[str],
    folder: str | Path,
    hole: Literal['white', 'black'],
    size: Sequence[int] = (256, 256),
) -> dict[str, dict]:
    """Published masks, which are pictures, for each image.

    Where a mask has the name of each image, that one is taken; otherwise masks are
    dealt out in the order of their names, again from the first when they run out.
    Grey values up to 127 count as black.

    Args:
        names: of the image files, without suffix.
        folder: of the masks.
        hole: which colour is to be painted; releases differ, and a wrong choice
            hides what should be seen.
        size: (H, W); masks of another size are resized (nearest).

    Returns:
        entries for :func:`mmadm.datasets.mask_file.write_masks`.

    Raises:
        ValueError: a mask is broken, or hides all or nothing.
    """
    paths = list_images(Path(folder))
    by_name = {path.stem: path for path in paths}
    if not set(names) <= by_name.keys():
        dealt = (paths[index % len(paths)] for index in range(len(names)))
        by_name = dict(zip(names, dealt))

    def read(name: str) -> dict:
        return encode(_read(by_name[name], hole, size))

    return dict(zip(names, run(names, read, 0, 'Reading')))


def image_names(source: str | Path) -> list[str]:
    """Names without suffix of the images in a folder, or in a list of them."""
    source = Path(source)
    files = list_images(source) if source.is_dir() else read_names(source)
    return [Path(file).stem for file in files]


def check_names(names: Sequence[str], masks: dict[str, dict], path: str) -> None:
    """Each image must have its mask.

    Raises:
        ValueError: some have none.
    """
    missing = sorted(set(names) - masks.keys())
    if missing:
        raise ValueError(
            f'{path} has no masks for {len(missing)} of {len(names)} images: '
            f'{some(missing)}. Make it again for these images.'
        )


def _read(path: Path, hole: str, size: Sequence[int]) -> np.ndarray:
    picture = read_image(str(path), 'grayscale')
    if picture.shape != tuple(size):
        picture = resize(picture, size, 'nearest')
    mask = (picture > 127) == (hole == 'white')
    if mask.all() or not mask.any():
        raise ValueError(
            f'The mask {path} hides {"all" if mask.all() else "nothing"}. Remove it, '
            'or check --hole.'
        )
    return mask
