"""Random holes for inpainting: arrays (H, W), uint8, 1 = hole.

There are two families. LaMa's thin, medium and thick masks (Suvorov et al., WACV 2022)
are polygonal strokes and boxes with sizes in pixels, made for images of 256 x 256. The
free-form masks that ADM's authors train with follow Co-Mod-GAN: rectangles, whose sides
grow with the image, and brush strokes.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
from numpy.random import Generator

_PI = 3.1415926  # LaMa's, so that ends of strokes fall on the same pixels


class Strokes(NamedTuple):
    """Sizes of LaMa's strokes, in pixels."""

    min_times: int
    max_times: int
    max_width: int
    max_length: int

    def draw(self, size: Sequence[int], rng: Generator) -> np.ndarray:
        """A mask of polygonal lines of one to five segments."""
        height, width = size
        mask = np.zeros((height, width), np.uint8)
        for stroke in range(rng.integers(self.min_times, self.max_times + 2)):
            start = int(rng.integers(width)), int(rng.integers(height))
            for _ in range(1 + rng.integers(5)):
                angle = 0.01 + rng.integers(4)
                if stroke % 2 == 0:
                    angle = 2 * _PI - angle
                length = 10 + rng.integers(self.max_length)
                thickness = 5 + int(rng.integers(self.max_width))
                end = (
                    int(np.clip(start[0] + length * math.sin(angle), 0, width)),
                    int(np.clip(start[1] + length * math.cos(angle), 0, height)),
                )
                cv2.line(mask, start, end, 1, thickness)
                start = end
        return mask


class Boxes(NamedTuple):
    """Sizes of LaMa's boxes, in pixels."""

    margin: int
    min_side: int
    max_side: int
    max_times: int

    def draw(self, size: Sequence[int], rng: Generator) -> np.ndarray:
        """A mask of one or several boxes, away from the border."""
        mask = np.zeros(size, np.uint8)
        for _ in range(rng.integers(1, self.max_times + 1)):
            slices = tuple(self._side(length, rng) for length in size)
            mask[slices] = 1
        return mask

    def _side(self, length: int, rng: Generator) -> slice:
        longest = min(self.max_side + 1, length - 2 * self.margin)
        if longest <= self.min_side:
            raise ValueError(
                f'A side of {length} pixels is too short for boxes of {self.min_side} '
                f"pixels, {self.margin} away from the border. LaMa's masks are made "
                "for 256 x 256; use kind='free_form' for small images."
            )
        side = rng.integers(self.min_side, longest)
        start = rng.integers(self.margin, length - self.margin - side + 1)
        return slice(start, start + side)


_STROKES = dict(
    thin=Strokes(4, 50, 10, 40),
    medium=Strokes(4, 5, 50, 100),
    thick=Strokes(1, 5, 100, 200),
)
_BOXES = dict(medium=Boxes(0, 10, 50, 5), thick=Boxes(10, 30, 150, 3))
_ATTEMPTS = 100
_BOX_FRACTION = 0.3 / 1.3  # strokes : boxes = 1 : 0.3


def lama_mask(kind: str, size: Sequence[int], rng: Generator) -> np.ndarray:
    """One of LaMa's masks: 'thin', 'medium' or 'thick'.

    Their holes cover 29, 24 and 40 % of 256 x 256 pixels on average.
    """
    if kind in _BOXES and rng.random() < _BOX_FRACTION:
        return _BOXES[kind].draw(size, rng)
    return _STROKES[kind].draw(size, rng)


def free_form_mask(size: Sequence[int], rng: Generator) -> np.ndarray:
    """A mask as ADM's authors train with; neither empty nor full."""
    while True:
        mask = np.zeros(size, np.uint8)
        for _ in range(rng.integers(4)):
            _rectangle(mask, [side // 2 for side in size], rng)
        for _ in range(rng.integers(2)):
            _rectangle(mask, size, rng)
        for _ in range(rng.integers(8)):
            _brush(mask, rng)
        mask = mask[:: rng.choice([-1, 1]), :: rng.choice([-1, 1])]
        if 0 < mask.mean() < 1:
            return np.ascontiguousarray(mask)


def _rectangle(mask: np.ndarray, longest: Sequence[int], rng: Generator) -> None:
    """A rectangle with its centre in the image."""
    slices = []
    for length, limit in zip(mask.shape, longest):
        side = rng.integers(max(limit, 1))
        start = rng.integers(length) - side // 2
        slices.append(slice(max(start, 0), max(start + side, 0)))
    mask[tuple(slices)] = 1


def _brush(mask: np.ndarray, rng: Generator) -> None:
    """A zigzag line with round joints."""
    height, width = mask.shape
    step = math.hypot(height, width) / 8
    bend = 2 * math.pi / 5 + rng.uniform(-1, 1) * 2 * math.pi / 15
    thickness = int(rng.integers(12, 49))
    x, y = rng.integers(width), rng.integers(height)
    points = [(int(x), int(y))]
    for vertex in range(rng.integers(4, 18) - 1):
        # Every other segment turns back: zigzag.
        angle = rng.uniform(0, bend) + (math.pi if vertex % 2 else 0)
        length = np.clip(rng.normal(step, step / 2), 0, 2 * step)
        x = np.clip(x + length * math.cos(angle), 0, width)
        y = np.clip(y + length * math.sin(angle), 0, height)
        points.append((int(x), int(y)))
    for start, end in pairwise(points):
        cv2.line(mask, start, end, 1, thickness)
    for point in points:
        cv2.circle(mask, point, thickness // 2, 1, -1)


#: Functions that draw a mask of each kind, from the size (H, W) and a random generator.
MASKS: dict[str, Callable[[Sequence[int], Generator], np.ndarray]] = {
    **{kind: partial(lama_mask, kind) for kind in _STROKES},
    'free_form': free_form_mask,
}


def check_kind(kind: str) -> None:
    """Check the name of a kind of masks.

    Raises:
        ValueError: it is unknown.
    """
    if kind not in MASKS:
        raise ValueError(f'Unknown kind of mask: {kind!r}. Use one of {list(MASKS)}.')


def scored_mask(
    kind: str, size: Sequence[int], rng: Generator, max_hole: float = 0.5
) -> np.ndarray:
    """A mask for a test set: one of five random masks, whose hole is not too large.

    LaMa makes its test sets so. If all five holes are too large, five others are drawn.

    Args:
        kind: a key of :data:`MASKS`.
        size: (H, W).
        rng: random generator.
        max_hole: largest fraction of the image that is hidden; 1 accepts every mask.

    Raises:
        ValueError: masks of this kind hide more of an image of this size.
    """
    for _ in range(_ATTEMPTS):
        drawn = [MASKS[kind](size, rng) for _ in range(5)]
        fair = [mask for mask in drawn if mask.mean() <= max_hole]
        if fair:
            return fair[rng.integers(len(fair))]
    raise ValueError(
        f'None of {5 * _ATTEMPTS} masks of the kind {kind!r} hides at most '
        f'{max_hole:.0%} of {size[0]} x {size[1]} pixels. Use larger images, '
        "kind='free_form', or a larger --max-hole."
    )
