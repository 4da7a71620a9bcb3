"""How well a map finds what stands out: MAE, F, weighted F, S and E.

All functions take a prediction (H, W) in [0, 1], float64, and a truth (H, W), bool.
The measures that are taken at each threshold take an 8-bit prediction.
"""

import numpy as np

_EPS = np.spacing(1)
_LEVELS = 256
_BETA2 = 0.3


def mae(pred: np.ndarray, truth: np.ndarray) -> float:
    """Mean absolute error."""
    return float(np.abs(pred - truth).mean())


def adaptive_threshold(pred: np.ndarray) -> float:
    """Twice the mean, 1 at most (Achanta et al., 2009)."""
    return float(min(2 * pred.mean(), 1))


def _f(precision: np.ndarray, recall: np.ndarray) -> np.ndarray:
    """F with beta^2 = 0.3, 0 where both are 0."""
    below = _BETA2 * precision + recall
    above = (1 + _BETA2) * precision * recall
    return np.divide(above, below, out=np.zeros_like(above), where=below != 0)


def _found(levels: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many pixels of and outside of the truth are at or above 0, 1, ..., 255."""
    inside = np.bincount(levels[truth], minlength=_LEVELS)
    outside = np.bincount(levels[~truth], minlength=_LEVELS)
    return inside[::-1].cumsum()[::-1], outside[::-1].cumsum()[::-1]


def f_curve(levels: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """F at the thresholds 0 to 255; all 0 where the truth is empty.

    Args:
        levels: prediction, (H, W), uint8.
        truth: (H, W), bool.
    """
    right, wrong = _found(levels, truth)
    precision = right / np.maximum(right + wrong, 1)
    return _f(precision, right / max(np.count_nonzero(truth), 1))


def f_adaptive(pred: np.ndarray, truth: np.ndarray) -> float:
    """F at the adaptive threshold."""
    found = pred >= adaptive_threshold(pred)
    right = np.count_nonzero(found & truth)
    precision = right / max(np.count_nonzero(found), 1)
    recall = right / max(np.count_nonzero(truth), 1)
    return float(_f(np.array(precision), np.array(recall)))


def _e(right: np.ndarray, wrong: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """E of binary maps that find so many pixels of and outside of the truth.

    Enhanced alignment (Fan et al., 2018). Maps of zeros and ones have but four kinds
    of pixels, so counts suffice. Where the truth is all background or all foreground,
    it is the share of right pixels.
    """
    size, positive = truth.size, np.count_nonzero(truth)
    negative = size - positive
    found = right + wrong
    if positive == 0:
        total = size - found
    elif negative == 0:
        total = found
    else:
        mean_found, mean_truth = found / size, positive / size
        total = 0
        for is_found, is_true, number in (
            (1, 1, right),
            (1, 0, wrong),
            (0, 1, positive - right),
            (0, 0, negative - wrong),
        ):
            a, b = is_found - mean_found, is_true - mean_truth
            alignment = 2 * a * b / (a * a + b * b + _EPS)
            total = total + number * (alignment + 1) ** 2 / 4
    return total / (size - 1 + _EPS)


def e_curve(levels: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """E at the thresholds 0 to 255.

    Args:
        levels: prediction, (H, W), uint8.
        truth: (H, W), bool.
    """
    return _e(*_found(levels, truth), truth)


def e_adaptive(pred: np.ndarray, truth: np.ndarray) -> float:
    """E at the adaptive threshold."""
    found = pred >= adaptive_threshold(pred)
    right = np.count_nonzero(found & truth)
    return float(_e(right, np.count_nonzero(found) - right, truth))


def weighted_f(pred: np.ndarray, truth: np.ndarray) -> float:
    """F in which errors weigh by where they are (Margolin et al., 2014).

    0 where the truth is empty.
    """
    from scipy.ndimage import correlate1d, distance_transform_edt

    if not truth.any():
        return 0.0
    distance, nearest = distance_transform_edt(~truth, return_indices=True)
    error = np.abs(pred - truth)
    # Errors next to each other depend on each other: outside of the truth, the nearest
    # foreground's error stands in; then all are averaged.
    spread = np.where(truth, error, error[tuple(nearest)])
    window = np.exp(-(np.arange(-3, 4) ** 2) / (2 * 5**2))
    window /= window.sum()
    for axis in (0, 1):
        spread = correlate1d(spread, window, axis, mode='constant')
    error = np.where(truth, np.minimum(error, spread), error)
    # A false detection is the worse the farther away.
    error *= np.where(truth, 1, 2 - np.exp(np.log(0.5) / 5 * distance))

    positive = np.count_nonzero(truth)
    right, wrong = positive - error[truth].sum(), error[~truth].sum()
    recall, precision = 1 - error[truth].mean(), right / (right + wrong + _EPS)
    return float(2 * precision * recall / (precision + recall + _EPS))


def s_measure(pred: np.ndarray, truth: np.ndarray, alpha: float = 0.5) -> float:
    """Structure: alpha for objects, 1 - alpha for regions (Fan et al., 2017).

    Where the truth is all background or all foreground, one minus the error's mean.
    """
    share = truth.mean()
    if share in (0, 1):
        return float(1 - np.abs(pred - truth).mean())
    objects = share * _object(pred[truth]) + (1 - share) * _object(1 - pred[~truth])
    return float(max(0, alpha * objects + (1 - alpha) * _regions(pred, truth)))


def _object(values: np.ndarray) -> float:
    """How high and how even the values are where they should be 1."""
    mean = values.mean()
    deviation = values.std(ddof=1) if len(values) > 1 else 0
    return 2 * mean / (mean**2 + 1 + deviation + _EPS)


def _regions(pred: np.ndarray, truth: np.ndarray) -> float:
    """Similarity of the four parts around the truth's centre, weighted by area."""
    # MATLAB's pixels count from 1, so the centre's row is the first part's last.
    y, x = (int(np.round(mean)) + 1 for mean in np.argwhere(truth).mean(axis=0))
    total = 0.0
    for rows in (slice(None, y), slice(y, None)):
        for columns in (slice(None, x), slice(x, None)):
            part = truth[rows, columns]
            if part.size:
                total += part.size * _similarity(pred[rows, columns], part)
    return total / truth.size


def _similarity(pred: np.ndarray, truth: np.ndarray) -> float:
    """SSIM over one window, without its constants."""
    truth = truth.astype(np.float64)
    x, y = pred.mean(), truth.mean()
    degrees = pred.size - 1 + _EPS
    var_x, var_y = ((pred - x) ** 2).sum() / degrees, ((truth - y) ** 2).sum() / degrees
    cov = ((pred - x) * (truth - y)).sum() / degrees
    above = 4 * x * y * cov
    below = (x**2 + y**2) * (var_x + var_y)
    if above != 0:
        return above / (below + _EPS)
    return 1.0 if below == 0 else 0.0
