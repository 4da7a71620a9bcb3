"""Loss weights lambda_1 (image part) and lambda_2 (noise part) of Eq. (10)."""

from collections.abc import Callable

import torch
from torch import Tensor

from mmadm.registry import MODELS

from .scalings import Coefficients

# Name -> (lambda_1, lambda_2), functions of t and of t_min.
RULES: dict[str, tuple[Callable, Callable]] = {
    # Table V, row by row.
    'one': (lambda t, _: t**0, lambda t, _: t**0),
    'inverse': (lambda t, _: 1 / t, lambda t, _: 1 / (1 - t)),
    'exponential': (lambda t, _: t.exp(), lambda t, _: (1 - t).exp()),
    'paper': (
        lambda t, _: (t**2 - t + 1) / t,
        lambda t, _: (t**2 - t + 1) / (1 - t) ** 2,
    ),
    # The authors' code, b(t) = sqrt(t): no square in the denominator of lambda_2.
    'authors': (
        lambda t, _: (t**2 - t + 1) / t,
        lambda t, t_min: (t**2 - t + 1) / (1 - t + t_min),
    ),
    # The authors' code, b(t) = t.
    'authors_linear_noise': (
        lambda t, _: ((t - 1) / t) ** 2 + 1,
        lambda t, t_min: (t / (1 - t + t_min)) ** 2 + 1,
    ),
    # Their code before April 2024, and for the linear attenuation.
    'authors_2023': (lambda t, _: 1 / t, lambda t, t_min: 1 / (1 - t + t_min)),
    # The squared error of the velocity eps - x0 of one decoder, with b(t) = t.
    'flow_matching': (
        lambda t, _: 1 / (t**2 + (1 - t) ** 2),
        lambda t, _: 1 / (t**2 + (1 - t) ** 2),
    ),
    # DiffusionEdge.
    'diffusion_edge': (
        lambda t, _: (t + 1) / t.sqrt(),
        lambda t, t_min: (2 - t).sqrt() / (1 - t + t_min).sqrt(),
    ),
}


class _Capped:
    """Base class that limits the weights: lambda_2 of the paper diverges at t = 1.

    Args:
        cap: the largest weight. With :class:`Preconditioner` the error falls as fast as
            the weight grows, and the value matters little.
    """

    def __init__(self, cap: float = 1e4) -> None:
        if not cap > 0:
            raise ValueError(
                f'The largest loss weight must be positive, but cap={cap}. '
                'Give a number above 0.'
            )
        self.cap = cap

    def _capped(self, *weights: Tensor) -> tuple[Tensor, ...]:
        return tuple(weight.clamp(max=self.cap) for weight in weights)


@MODELS.register_module()
class TimeWeighting(_Capped):
    """Loss weights as functions of time: Table V and the authors' variants.

    Args:
        rule: a name in ``RULES``: 'one', 'inverse', 'exponential', 'paper' (the four
            rows of Table V), 'authors', 'authors_linear_noise', 'authors_2023',
            'diffusion_edge' or 'flow_matching'.
        t_min: the offset in the denominator of lambda_2 in the authors' rules.
        cap: the largest weight.
    """

    def __init__(
        self, rule: str = 'paper', t_min: float = 1e-4, cap: float = 1e4
    ) -> None:
        super().__init__(cap)
        if rule not in RULES:
            raise ValueError(
                f'Unknown loss weighting rule={rule!r}. Use one of {sorted(RULES)}.'
            )
        self.rule = rule
        self.t_min = t_min

    def __call__(self, t: Tensor, coefficients: Coefficients) -> tuple[Tensor, ...]:
        """lambda_1 and lambda_2 at times t (N,): (N, 1) and (N,), on all of (0, 1]."""
        image, noise = RULES[self.rule]
        t = t.cpu().double()  # some devices have no float64
        return self._capped(image(t, self.t_min)[:, None], noise(t, self.t_min))


@MODELS.register_module()
class OptimalWeighting(_Capped):
    """Loss weights ``1 / c_out^2``: an untrained network has equal loss at all times.

    For ``h_t = c``, ``b = sqrt(t)`` and ``sigma_d = 1`` these are the paper's best
    weights (Table V); for other processes and data they are the equivalent. Each
    parameter of phi has its own weight.
    """

    def __call__(self, t: Tensor, coefficients: Coefficients) -> tuple[Tensor, ...]:
        """lambda_1 (N, P) and lambda_2 (N,)."""
        c = coefficients
        return self._capped(c.phi_out**-2, c.eps_out**-2)


@MODELS.register_module()
class NoiseOnlyWeighting:
    """Loss weights of DDPM: the noise term only, with weight 1 (Eq. 4, Table VI)."""

    def __call__(self, t: Tensor, coefficients: Coefficients) -> tuple[Tensor, ...]:
        c = coefficients
        return torch.zeros_like(c.phi_out), torch.ones_like(c.eps_out)


@MODELS.register_module()
class VelocityNoiseWeighting:
    """Loss weights of CLD: the velocity's noise only, the second half of eps."""

    def __call__(self, t: Tensor, coefficients: Coefficients) -> tuple[Tensor, ...]:
        image, noise = NoiseOnlyWeighting()(t, coefficients)
        return image, torch.stack([0 * noise, noise], 1)
