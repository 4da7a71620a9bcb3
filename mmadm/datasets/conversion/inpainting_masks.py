"""Fixed masks for scoring inpainting."""

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from mmadm.datasets.coco_masks import check_size, encode
from mmadm.datasets.image_dataset import read_names
from mmadm.datasets.masks import check_kind, scored_mask
from mmadm.utils import mix_seed, resize
from mmadm.utils.image_files import list_images, name_files, pair_by_name
from mmadm.utils.images import read_mask

from .conversion_utils import run, some


def draw_masks(
    names: Sequence[str],
    kind: str,
    size: Sequence[int] = (256, 256),
    seed: int = 0,
    max_hole: float = 0.5,
) -> dict[str, dict]:
    """A random mask for each image, fixed by the seed and the image's name.

    So a part of the images has the same masks as among all images.

    Args:
        names: of the images, from :func:`image_names`.
        kind: see :data:`mmadm.datasets.masks.MASKS`.
        size: (H, W).
        seed: of this set of masks.
        max_hole: see :func:`mmadm.datasets.masks.scored_mask`.

    Returns:
        entries for :func:`mmadm.datasets.mask_file.write_masks`.

    Raises:
        ValueError: the kind, the size, the seed or the hole is not possible.
    """
    check_kind(kind)
    _check_size(size)
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
    cycle: bool = False,
) -> dict[str, dict]:
    """Published masks, which are image files, for each image.

    Files are read as by :func:`mmadm.utils.images.read_mask`.

    Args:
        names: of the images, from :func:`image_names`.
        folder: of the masks, paired by name (:func:`mmadm.utils.image_files.
            pair_by_name`).
        hole: the colour of the hole; releases differ, and a wrong choice hides what
            should be visible.
        size: (H, W); masks of another size are resized (nearest).
        cycle: for masks that belong to no image: take them in the order of their
            names, and begin again after the last.

    Returns:
        entries for :func:`mmadm.datasets.mask_file.write_masks`.

    Raises:
        FileNotFoundError: the folder is missing or empty.
        ValueError: an image has no mask; a mask is damaged, or hides everything or
            nothing.
    """
    _check_size(size)
    if hole not in ('white', 'black'):
        raise ValueError(f"Unknown colour hole={hole!r}. Use 'white' or 'black'.")
    paths = list_images(folder)
    if cycle:
        masks = {name: paths[i % len(paths)] for i, name in enumerate(names)}
    else:
        masks = _by_name(names, folder, paths)

    def read(name: str) -> dict:
        return encode(_read(masks[name], hole, size))

    return dict(zip(names, run(names, read, 0, 'Reading')))


def _by_name(
    names: Sequence[str], folder: str | Path, paths: Sequence[Path]
) -> dict[str, Path]:
    images = {name: name for name in names}
    try:
        pairs = pair_by_name(
            images, name_files(folder, paths), 'the list of images', folder, True
        )
    except ValueError as error:
        raise ValueError(
            f'{error} If the masks belong to no image, add --cycle to take them in '
            'their order.'
        ) from error
    return {name: path for name, (_, path) in pairs.items()}


def image_names(source: str | Path) -> list[str]:
    """Paths without suffix of the images in a folder, or in a list of them.

    Raises:
        FileNotFoundError: the source is missing or empty.
        ValueError: two images have one name, so that they would share a mask.
    """
    source = Path(source)
    if source.is_dir():
        return list(name_files(source, list_images(source)))
    return list(name_files('', [Path(name) for name in read_names(source)]))


def check_names(names: Sequence[str], masks: dict[str, dict], path: str) -> None:
    """Check that each image has a mask.

    Raises:
        ValueError: some have none.
    """
    missing = sorted(set(names) - masks.keys())
    if missing:
        raise ValueError(
            f'{path} has no masks for {len(missing)} of {len(names)} images: '
            f'{some(missing)}. Make it again for these images.'
        )


def _check_size(size: Sequence[int]) -> None:
    try:
        check_size(size)
    except ValueError as error:
        raise ValueError(
            f'Masks are not possible: {error}. Give --size H W.'
        ) from error


def _read(path: Path, hole: str, size: Sequence[int]) -> np.ndarray:
    white = read_mask(path)
    if white.shape != tuple(size):
        white = resize(white.astype(np.uint8), size, 'nearest') > 0
    mask = white == (hole == 'white')
    if mask.all() or not mask.any():
        raise ValueError(
            f'The mask {path} hides {"everything" if mask.all() else "nothing"}. '
            'Remove it, or check --hole.'
        )
    return mask
