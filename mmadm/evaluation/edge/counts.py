"""What is right in an edge map, threshold by threshold."""

import math

import numpy as np


def thresholds(number: int = 99) -> np.ndarray:
    """Equally spaced inside of (0, 1), rising: 0.01, 0.02, ..., 0.99 for 99 of them."""
    return np.linspace(1 / (number + 1), 1 - 1 / (number + 1), number)


def count_matches(
    edges: np.ndarray,
    truths: np.ndarray,
    levels: np.ndarray,
    max_dist: float = 0.0075,
    thinned: bool = True,
) -> np.ndarray:
    """Match an edge map with the maps of all annotators at each threshold.

    Args:
        edges: (H, W), float in [0, 1].
        truths: (A, H, W), one map per annotator; not 0 is an edge.
        levels: (K,) rising thresholds; at or above it is an edge.
        max_dist: tolerance as a share of the image's diagonal.
        thinned: thin the edges before they are matched.

    Returns:
        (K, 4), int64: matched and all pixels of the annotators; pixels of the edge map
        that match any annotator's, and all its pixels.
    """
    from .matching import match
    from .thinning import thin

    height, width = edges.shape
    tolerance = max_dist * math.sqrt(height * height + width * width)
    truths = truths != 0
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
        right = np.zeros(found.size, np.bool_)
        for truth in truths:
            pairs = match(found, truth, tolerance)
            right[pairs[:, 0]] = True
            counts[k, 0] += len(pairs)
        counts[k, 1] = np.count_nonzero(truths)
        counts[k, 2:] = np.count_nonzero(right), np.count_nonzero(found)
    return counts
