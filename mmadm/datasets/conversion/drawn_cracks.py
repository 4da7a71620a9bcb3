"""Drawn cracks on photographs: a small dataset of pairs that needs no download."""

from pathlib import Path

import cv2
import numpy as np

from mmadm.datasets.image_dataset import ScikitImagePhotos
from mmadm.datasets.transforms import LoadImages
from mmadm.utils import mix_seed

from .conversion_utils import check_at_least, save_image

#: Photographs in scikit-image's package that serve as walls.
BACKGROUNDS = ('brick', 'camera', 'coffee', 'grass', 'gravel', 'moon', 'rocket')
PARTS = ('train', 'test')
#: Largest side of a window: half of the narrowest photograph.
MAX_SIZE = 256
# Cracks are drawn with this many points per pixel and side, then averaged.
_FINE = 4


def draw_crack_pairs(
    out_dir: str | Path,
    num_train: int = 50,
    num_test: int = 20,
    size: int = 192,
    seed: int = 0,
) -> dict[str, int]:
    """Write ``train`` and ``test`` with ``images`` and ``maps`` of equal names.

    An image is a window of a photograph, from its left half for training and from its
    right half for the test, with one to three dark cracks. A map is 255 on the cracks,
    0 elsewhere.

    Args:
        out_dir: a folder that is empty or does not exist.
        num_train: pairs for training.
        num_test: pairs for the test.
        size: height and width of a window.
        seed: of all that is drawn. Pair i is the same for any number of pairs.

    Returns:
        number of pairs of each part.

    Raises:
        ValueError: the folder has files, or a number is not possible.
    """
    check_at_least(1, num_train=num_train, num_test=num_test)
    check_at_least(32, size=size)
    if size > MAX_SIZE:
        raise ValueError(
            f'Windows are cut from halves of photographs, which allow {MAX_SIZE} '
            f'pixels, but size={size}. Give at most {MAX_SIZE}.'
        )
    out_dir = Path(out_dir)
    if out_dir.is_dir() and any(out_dir.iterdir()):
        raise ValueError(
            f'The folder has files: {out_dir}. Pairs of different options would be '
            'mixed. Remove it, or give another folder.'
        )
    photographs = ScikitImagePhotos(BACKGROUNDS, pipeline=[LoadImages()])
    walls = [photographs[i]['img'] for i in range(len(BACKGROUNDS))]
    counts = dict(zip(PARTS, (num_train, num_test)))
    for number, (part, count) in enumerate(counts.items()):
        for kind in ('images', 'maps'):
            (out_dir / part / kind).mkdir(parents=True)
        for i in range(count):
            rng = np.random.default_rng(mix_seed(seed, number, i))
            wall = _window(walls[i % len(walls)], number, size, rng)
            image, cracks = draw_pair(wall, rng)
            save_image(image, out_dir / part / 'images' / f'{i:03d}.png')
            save_image(cracks, out_dir / part / 'maps' / f'{i:03d}.png')
    return counts


def draw_pair(
    wall: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """An image with cracks, and their map.

    Args:
        wall: (S, S, 3), uint8.
        rng: source of all that is drawn.

    Returns:
        image (S, S, 3) and map (S, S), 0 or 255, uint8.
    """
    size = len(wall)
    fine = np.zeros((size * _FINE, size * _FINE), np.uint8)
    for _ in range(rng.integers(1, 4)):
        start = rng.uniform(0.1, 0.9, 2) * size
        angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(0.4, 1.2) * size
        _draw_crack(fine, start, angle, length, rng.uniform(1.2, 3), rng)
    cover = cv2.resize(fine, (size, size), interpolation=cv2.INTER_AREA) / 255
    dark = 1 - rng.uniform(0.3, 0.6) * cover[..., None]
    image = wall * dark + rng.normal(0, 2, wall.shape)
    return (
        np.rint(image.clip(0, 255)).astype(np.uint8),
        np.where(cover >= 0.5, 255, 0).astype(np.uint8),
    )


def _draw_crack(
    fine: np.ndarray,
    start: np.ndarray,
    angle: float,
    length: float,
    width: float,
    rng: np.random.Generator,
) -> None:
    """A random walk with branches, which are shorter and narrower, in place.

    Args:
        fine: map with ``_FINE`` points per pixel.
        start: (x, y), pixels.
        angle: direction, radians.
        length: pixels.
        width: pixels.
        rng: source of all that is drawn.
    """
    step = 3.0
    point = start
    for _ in range(int(length / step)):
        angle += rng.normal(0, 0.3)
        end = point + step * np.array([np.cos(angle), np.sin(angle)])
        ends = [tuple(int(v) for v in np.rint(_FINE * p)) for p in (point, end)]
        cv2.line(fine, *ends, 255, max(1, round(_FINE * width)))
        if width > 1 and rng.random() < 0.03:
            turn = rng.choice([-1, 1]) * rng.uniform(0.5, 1.2)
            _draw_crack(fine, end, angle + turn, length / 3, 0.7 * width, rng)
        point = end


def _window(
    wall: np.ndarray, half: int, size: int, rng: np.random.Generator
) -> np.ndarray:
    """A random window of the left (0) or the right (1) half of a photograph."""
    height, width = wall.shape[0], wall.shape[1] // 2
    top = rng.integers(height - size + 1)
    left = half * width + rng.integers(width - size + 1)
    return wall[top : top + size, left : left + size]
