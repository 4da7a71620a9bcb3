"""Non-maximum suppression of soft edge maps."""

import numpy as np
import scipy


def suppress_non_maxima(
    edges: np.ndarray,
    radius: int = 1,
    border: int = 5,
    margin: float = 1.01,
    smooth: bool = True,
) -> np.ndarray:
    """Keeps the maxima across edges, as papers on BSDS500 do before scoring.

    Published results differ in the radius (HED 1, RCF 2) and in ``smooth``.

    Args:
        edges: (H, W), float; any range that starts at 0.
        radius: number of pixels to each side of the edge that are compared.
        border: width of the frame in which values fade to 0.
        margin: a pixel survives if no neighbour is larger than this times its value.
        smooth: blur the map a little first, as HED and PiDiNet do; RCF and DexiNed do
            not.

    Returns:
        (H, W): the (blurred) values of the survivors, 0 elsewhere.

    Raises:
        ValueError: the map is one pixel high or wide.
    """
    height, width = edges.shape
    if min(height, width) < 2:
        raise ValueError(
            f'Edges have a direction in maps of at least 2 x 2 pixels, but this one is '
            f'{height} x {width}. Score larger maps.'
        )
    edges = _triangle(edges, 1) if smooth else edges.astype(np.float64)
    angle = _normal(edges)

    y, x = np.mgrid[:height, :width]
    largest = np.zeros_like(edges)
    for d in (d for d in range(-radius, radius + 1) if d != 0):
        places = [
            np.clip(y + d * np.sin(angle), 0, height - 1.001),
            np.clip(x + d * np.cos(angle), 0, width - 1.001),
        ]
        np.maximum(
            largest, scipy.ndimage.map_coordinates(edges, places, order=1), out=largest
        )
    ridges = np.where(margin * edges < largest, 0, edges)
    return ridges * _fade(height, border)[:, None] * _fade(width, border)


def _triangle(image: np.ndarray, radius: int) -> np.ndarray:
    """Blur by [1 ... r + 1 ... 1] along rows and columns."""
    weights = radius + 1 - np.abs(np.arange(-radius, radius + 1))
    weights = weights / (radius + 1) ** 2
    correlate = scipy.ndimage.correlate1d  # loaded here, when it is needed
    blurred = correlate(image.astype(np.float64), weights, axis=0)
    return correlate(blurred, weights, axis=1)


def _normal(edges: np.ndarray) -> np.ndarray:
    """The direction across the edge, in [0, pi), from second derivatives."""
    d_y, d_x = np.gradient(_triangle(edges, 4))
    d_xy, d_xx = np.gradient(d_x)
    d_yy = np.gradient(d_y, axis=0)
    return np.mod(np.arctan2(d_yy * np.sign(-d_xy), d_xx + 1e-5), np.pi)


def _fade(size: int, border: int) -> np.ndarray:
    """1 inside; 0, 1 / border, 2 / border, ... from both ends."""
    distance = np.minimum(np.arange(size), np.arange(size)[::-1])
    return np.minimum(distance / border, 1) if border else np.ones(size)
