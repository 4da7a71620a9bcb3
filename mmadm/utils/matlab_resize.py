"""Bicubic resizing as MATLAB does it, for scores of super-resolution."""

import functools
from collections.abc import Sequence

import numpy as np


def matlab_resize(image: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """``image`` at (H, W), as MATLAB's ``imresize(image, 'bicubic')`` returns it.

    Where it reduces, the kernel is widened by the factor (antialiasing). Borders are
    mirrored, weights sum to one, height comes first, only the result is rounded. The
    low-resolution images of DIV2K and the published scores of Set5, Set14 and B100 use
    it; Pillow has other values at the borders and rounds after the first axis.

    Args:
        image: (H, W) or (H, W, C), uint8.
        size: (H, W) of the result.

    Returns:
        uint8.
    """
    values = image.astype(np.float64)
    for axis, length in enumerate(size):
        weights, places = _taps(image.shape[axis], length)
        values = np.moveaxis(values, axis, 0)
        result = np.zeros((length, *values.shape[1:]))
        for weight, place in zip(weights.T, places.T):
            result += weight.reshape(-1, *[1] * (values.ndim - 1)) * values[place]
        values = np.moveaxis(result, 0, axis)
    return np.floor(values.clip(0, 255) + 0.5).astype(np.uint8)


@functools.lru_cache(maxsize=64)
def _taps(old: int, new: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights and indices (new, taps) of the old values for each new value."""
    scale = new / old
    shrink = min(scale, 1.0)
    width = 4 / shrink
    # Pixel centres are at integers; both grids have the same outer borders.
    centre = (np.arange(new) + 0.5) / scale - 0.5
    left = np.floor(centre - width / 2).astype(int)
    places = left[:, None] + np.arange(int(np.ceil(width)) + 2)
    weights = _cubic(shrink * (centre[:, None] - places))
    weights /= weights.sum(axis=1, keepdims=True)

    used = (weights != 0).any(axis=0)
    mirror = np.concatenate([np.arange(old), np.arange(old)[::-1]])
    return weights[:, used], mirror[places[:, used] % (2 * old)]


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys' kernel with a = -1/2."""
    x = np.abs(x)
    inner = 1.5 * x**3 - 2.5 * x**2 + 1
    outer = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, inner, np.where(x <= 2, outer, 0))
