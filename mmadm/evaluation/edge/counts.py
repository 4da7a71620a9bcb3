"""Matched pixels of an edge map at each threshold."""

import math

import numpy as np

from mmadm.evaluation.sample_fields import check_map


def thresholds(number: int = 99) -> np.ndarray:
    """Equally spaced thresholds inside (0, 1): 0.01, 0.02, ..., 0.99 for 99 of them."""
    return np.linspace(1 / (number + 1), 1 - 1 / (number + 1), number)


def count_matches(
    edges: np.ndarray,
    gts: np.ndarray,
    levels: np.ndarray,
    max_dist: float = 0.0075,
    thinned: bool = True,
) -> np.ndarray:
    """Matches an edge map with the maps of all annotators at each threshold.

    Args:
        edges: (H, W), float in [0, 1].
        gts: (A, H, W), one map per annotator; edges are not 0.
        levels: (K,) rising thresholds; values at or above are edges.
        max_dist: tolerance as a fraction of the image's diagonal.
        thinned: thin the edges before they are matched.

    Returns:
        (K, 4), int64: matched and all pixels of the annotators; pixels of the edge map
        matched with those of any annotator, and all its pixels.

    Raises:
        ValueError: the edge map has NaN or values outside [0, 1].
    """
    from .matching import match
    from .thinning import thin

    check_map(edges)
    height, width = edges.shape
    tolerance = max_dist * math.sqrt(height * height + width * width)
    gts = gts != 0
    counts = np.zeros((len(levels), 4), np.int64)
    above = None
    for k, level in enumerate(levels):
        found = edges >= level
        # Maps of rising thresholds are nested: of equal size means equal.
        above, before = np.count_nonzero(found), above
        if above == before:
            counts[k] = counts[k - 1]
            continue
        if thinned:
            found = thin(found)
        hits = np.zeros(found.size, np.bool_)
        for gt in gts:
            pairs = match(found, gt, tolerance)
            hits[pairs[:, 0]] = True
            counts[k, 0] += len(pairs)
        counts[k, 1] = np.count_nonzero(gts)
        counts[k, 2:] = np.count_nonzero(hits), np.count_nonzero(found)
    return counts
