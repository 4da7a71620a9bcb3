"""Measures of saliency maps: MAE, F, weighted F, S and E.

All functions take a prediction (H, W) in [0, 1], float64, and a ground truth (H, W),
bool. The measures at each threshold take an 8-bit prediction.
"""

import numpy as np

_EPS = np.spacing(1)
_LEVELS = 256
_BETA2 = 0.3


def mae(pred: np.ndarray, gt: np.ndarray) -> float:
    """Mean absolute error."""
    return float(np.abs(pred - gt).mean())


def adaptive_threshold(pred: np.ndarray) -> float:
    """Twice the mean, 1 at most (Achanta et al., 2009)."""
    return float(min(2 * pred.mean(), 1))


def _f(precision: np.ndarray, recall: np.ndarray) -> np.ndarray:
    """F with beta^2 = 0.3, 0 where precision and recall are 0."""
    below = _BETA2 * precision + recall
    above = (1 + _BETA2) * precision * recall
    return np.divide(above, below, out=np.zeros_like(above), where=below != 0)


def _positives(levels: np.ndarray, gt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of true and false positives at the thresholds 0, 1, ..., 255."""
    inside = np.bincount(levels[gt], minlength=_LEVELS)
    outside = np.bincount(levels[~gt], minlength=_LEVELS)
    return inside[::-1].cumsum()[::-1], outside[::-1].cumsum()[::-1]


def f_curve(levels: np.ndarray, gt: np.ndarray) -> np.ndarray:
    """F at the thresholds 0 to 255; all 0 where the ground truth is empty.

    Args:
        levels: prediction, (H, W), uint8.
        gt: (H, W), bool.
    """
    true, false = _positives(levels, gt)
    precision = true / np.maximum(true + false, 1)
    return _f(precision, true / max(np.count_nonzero(gt), 1))


def f_adaptive(pred: np.ndarray, gt: np.ndarray) -> float:
    """F at the adaptive threshold."""
    found = pred >= adaptive_threshold(pred)
    true = np.count_nonzero(found & gt)
    precision = true / max(np.count_nonzero(found), 1)
    recall = true / max(np.count_nonzero(gt), 1)
    return float(_f(np.array(precision), np.array(recall)))


def _e(true: np.ndarray, false: np.ndarray, gt: np.ndarray) -> np.ndarray:
    """E of binary maps with so many true and false positives.

    Enhanced alignment (Fan et al., 2018). A binary map has only four kinds of pixels,
    so counts suffice. Where the ground truth is all background or all foreground, E is
    the fraction of correct pixels. The original divides by the number of pixels less
    one; a single pixel is divided by one here.
    """
    size, positive = gt.size, np.count_nonzero(gt)
    negative = size - positive
    found = true + false
    if positive == 0:
        total = size - found
    elif negative == 0:
        total = found
    else:
        mean_found, mean_gt = found / size, positive / size
        total = 0
        for is_found, is_true, number in (
            (1, 1, true),
            (1, 0, false),
            (0, 1, positive - true),
            (0, 0, negative - false),
        ):
            a, b = is_found - mean_found, is_true - mean_gt
            alignment = 2 * a * b / (a * a + b * b + _EPS)
            total = total + number * (alignment + 1) ** 2 / 4
    return total / (max(size - 1, 1) + _EPS)


def e_curve(levels: np.ndarray, gt: np.ndarray) -> np.ndarray:
    """E at the thresholds 0 to 255.

    Args:
        levels: prediction, (H, W), uint8.
        gt: (H, W), bool.
    """
    return _e(*_positives(levels, gt), gt)


def e_adaptive(pred: np.ndarray, gt: np.ndarray) -> float:
    """E at the adaptive threshold."""
    found = pred >= adaptive_threshold(pred)
    true = np.count_nonzero(found & gt)
    return float(_e(true, np.count_nonzero(found) - true, gt))


def weighted_f(pred: np.ndarray, gt: np.ndarray) -> float:
    """F with errors weighted by their position (Margolin et al., 2014).

    0 where the ground truth is empty.
    """
    from scipy.ndimage import correlate1d, distance_transform_edt

    if not gt.any():
        return 0.0
    distance, nearest = distance_transform_edt(~gt, return_indices=True)
    error = np.abs(pred - gt)
    # Errors of neighbours depend on each other: in the background, the error of the
    # nearest foreground pixel is used; then errors are averaged.
    spread = np.where(gt, error, error[tuple(nearest)])
    window = np.exp(-(np.arange(-3, 4) ** 2) / (2 * 5**2))
    window /= window.sum()
    for axis in (0, 1):
        spread = correlate1d(spread, window, axis, mode='constant')
    error = np.where(gt, np.minimum(error, spread), error)
    # The weight of a false positive grows with its distance to the foreground.
    error *= np.where(gt, 1, 2 - np.exp(np.log(0.5) / 5 * distance))

    positive = np.count_nonzero(gt)
    true, false = positive - error[gt].sum(), error[~gt].sum()
    recall, precision = 1 - error[gt].mean(), true / (true + false + _EPS)
    return float(2 * precision * recall / (precision + recall + _EPS))


def s_measure(pred: np.ndarray, gt: np.ndarray, alpha: float = 0.5) -> float:
    """Structure measure (Fan et al., 2017): alpha * objects + (1 - alpha) * regions.

    Where the ground truth is all background or all foreground, one minus the mean
    error.
    """
    fraction = gt.mean()
    if fraction in (0, 1):
        return float(1 - np.abs(pred - gt).mean())
    objects = fraction * _object(pred[gt]) + (1 - fraction) * _object(1 - pred[~gt])
    return float(max(0, alpha * objects + (1 - alpha) * _regions(pred, gt)))


def _object(values: np.ndarray) -> float:
    """How high and how uniform the values are where they should be 1."""
    mean = values.mean()
    deviation = values.std(ddof=1) if len(values) > 1 else 0
    return 2 * mean / (mean**2 + 1 + deviation + _EPS)


def _regions(pred: np.ndarray, gt: np.ndarray) -> float:
    """Similarity of the four parts around the centre of the foreground, by area."""
    # MATLAB's pixels count from 1, so the row of the centre is the first part's last.
    y, x = (int(np.round(mean)) + 1 for mean in np.argwhere(gt).mean(axis=0))
    total = 0.0
    for rows in (slice(None, y), slice(y, None)):
        for columns in (slice(None, x), slice(x, None)):
            part = gt[rows, columns]
            if part.size:
                total += part.size * _similarity(pred[rows, columns], part)
    return total / gt.size


def _similarity(pred: np.ndarray, gt: np.ndarray) -> float:
    """SSIM over one window, without its constants."""
    gt = gt.astype(np.float64)
    x, y = pred.mean(), gt.mean()
    degrees = pred.size - 1 + _EPS
    var_x, var_y = ((pred - x) ** 2).sum() / degrees, ((gt - y) ** 2).sum() / degrees
    cov = ((pred - x) * (gt - y)).sum() / degrees
    above = 4 * x * y * cov
    below = (x**2 + y**2) * (var_x + var_y)
    if above != 0:
        return above / (below + _EPS)
    return 1.0 if below == 0 else 0.0
