"""Scores of the BSDS500 benchmark from counts of matched pixels."""

import numpy as np

# Number of points per segment between two thresholds, ends included.
_POINTS = 100


def precision_recall(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Recall, precision and F of counts (..., 4); 0 where there are no pixels."""
    matched, gts, hits, found = np.moveaxis(np.asarray(counts, float), -1, 0)
    recall, precision = _ratio(matched, gts), _ratio(hits, found)
    return recall, precision, f_measure(recall, precision)


def f_measure(recall: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """Harmonic mean, 0 where both are 0."""
    return _ratio(2 * recall * precision, recall + precision)


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.divide(a, b, out=np.zeros_like(b), where=b != 0)


def best_point(counts: np.ndarray, levels: np.ndarray) -> tuple[float, ...]:
    """Threshold, recall, precision and F where F is largest.

    Between two thresholds, recall and precision are interpolated linearly.

    Args:
        counts: (K, 4).
        levels: (K,) thresholds.
    """
    recall, precision, _ = precision_recall(counts)
    index = np.arange(len(levels))
    segments = len(levels) - 1
    fine = np.linspace(0, segments, segments * (_POINTS - 1) + 1)
    level, recall, precision = (
        np.interp(fine, index, values) for values in (levels, recall, precision)
    )
    f = f_measure(recall, precision)
    best = int(f.argmax())
    return tuple(float(x[best]) for x in (level, recall, precision, f))


def average_precision(counts: np.ndarray) -> float:
    """Area below the curve of precision over recall, from counts (K, 4).

    As in the original, the curve is sampled in steps of 0.01 and the sum divided by
    100; beyond the ends of the curve, the precision is 0.
    """
    recall, precision, _ = precision_recall(counts)
    recall, order = _unique(recall)
    grid = np.arange(101) / 100
    return float(np.interp(grid, recall, precision[order], 0, 0).sum() / 100)


def recall_at_half_precision(counts: np.ndarray) -> float:
    """R50 of counts (K, 4): recall at precision 0.5, or at the lowest precision."""
    recall, precision, _ = precision_recall(counts)
    precision, order = _unique(precision)
    return float(np.interp(max(0.5, precision[0]), precision, recall[order]))


def _unique(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sorted unique values, and the last index of each."""
    unique, first_from_behind = np.unique(values[::-1], return_index=True)
    return unique, len(values) - 1 - first_from_behind


def summarize(counts: np.ndarray, levels: np.ndarray) -> dict[str, float]:
    """All scores of a dataset.

    Args:
        counts: (N, K, 4), see :func:`mmadm.evaluation.edge.count_matches`.
        levels: (K,) thresholds.

    Returns:
        ``ods`` (best F at one threshold for all images) and its threshold, recall and
        precision; ``ois`` (at the best threshold of each image) and its recall and
        precision; ``ap`` and ``r50``.
    """
    counts = np.asarray(counts)
    total = counts.sum(axis=0)
    level, recall, precision, ods = best_point(total, levels)

    best = precision_recall(counts)[2].argmax(axis=1)
    ois = precision_recall(counts[np.arange(len(counts)), best].sum(axis=0))
    return dict(
        ods=ods,
        ois=float(ois[2]),
        ap=average_precision(total),
        r50=recall_at_half_precision(total),
        ods_threshold=level,
        ods_recall=recall,
        ods_precision=precision,
        ois_recall=float(ois[0]),
        ois_precision=float(ois[1]),
    )
