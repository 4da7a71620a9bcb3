"""Power-law averages of weights (Karras et al., 2024, EDM2), and their combination.

After t iterations the average with the power ``gamma`` weighs iteration k in proportion
to ``k^gamma``. Its relative length ``sigma_rel`` is the standard deviation of this
weight, divided by t.
"""

from collections.abc import Sequence

import numpy as np


def power_of(sigma_rel: float) -> float:
    """gamma of a relative length: ``sigma_rel^2 = (g + 1) / ((g + 2)^2 (g + 3))``.

    Raises:
        ValueError: the length is not between 0 and 0.288, that of a uniform average.
    """
    if not 0 < sigma_rel < 12**-0.5:
        raise ValueError(
            'The relative length of an average is above 0 and below 0.288, but '
            f'sigma_rel={sigma_rel}. EDM2 keeps 0.05 and 0.10.'
        )
    inverse = sigma_rel**-2
    roots = np.roots([1, 7, 16 - inverse, 12 - inverse])
    return float(roots.real.max())


def combine(
    kept: Sequence[tuple[int, float]], iteration: int, sigma_rel: float
) -> np.ndarray:
    """Factors of kept averages whose sum is closest to another average.

    The weights of an average form a function of the iteration. The factors are the
    least-squares solution for these functions.

    Args:
        kept: iteration and ``sigma_rel`` of each kept average.
        iteration: that of the wanted average.
        sigma_rel: its relative length.

    Returns:
        one factor per kept average, float64.
    """
    ends = np.array([end for end, _ in kept], float)
    powers = np.array([power_of(length) for _, length in kept])
    power = power_of(sigma_rel)
    products = _product(ends[:, None], powers[:, None], ends, powers)
    wanted = _product(ends, powers, float(iteration), power)
    return np.linalg.lstsq(products, wanted, rcond=1e-14)[0]


def _product(
    end_a: np.ndarray, a: np.ndarray, end_b: np.ndarray, b: np.ndarray
) -> np.ndarray:
    """Integral of ``(a + 1) k^a / end_a^(a + 1)`` times the same for b.

    Both end at the smaller of the two iterations. Ratios keep the powers in range.
    """
    overlap = np.minimum(end_a, end_b)
    ratios = (overlap / end_a) ** (a + 1) * (overlap / end_b) ** (b + 1)
    return (a + 1) * (b + 1) / (a + b + 1) * ratios / overlap
