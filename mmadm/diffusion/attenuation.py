"""Attenuation functions: the analytic path from the image to zero (Sec. IV-B, Fig. 7).

The paper compares five functions and gives the formulas of two, the constant and the
linear one (Sec. V-A). The other formulas here follow its rule: draw all parameters but
one, solve ``x0 + H_1 = 0`` for the last.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mmadm.registry import ATTENUATIONS

#: Shape of one sample (C, H, W) -> standard normal noise (N, C, H, W), new per call.
ShapedNoise = Callable[[Sequence[int]], Tensor]


class Attenuation(ABC):
    """Base class of attenuation functions: an analytic ``h_t`` with ``x0 + H_1 = 0``.

    A subclass has three short methods. ``phi`` (N, P*C, H, W) holds the P parameters of
    each pixel along the channels: the drawn ones first, the solved one last. Times are
    numbers or tensors that broadcast against the image.

    Args:
        free_limit: drawn parameters are standard normal, clipped to +-``free_limit``,
            which bounds what the network has to predict.
    """

    #: How many parameters are drawn before the last one is solved.
    num_free = 0

    def __init__(self, free_limit: float = 1.0) -> None:
        if not free_limit > 0:
            raise ValueError(
                'The limit of drawn attenuation parameters must be positive, but '
                f'free_limit={free_limit}. Give a number above 0 (the authors use 1).'
            )
        self.free_limit = free_limit

    @abstractmethod
    def solve(self, x0: Tensor, *free: Tensor) -> Tensor:
        """Solve ``x0 + H_1 = 0`` for the last parameter, given the drawn ones.

        Args:
            x0: the image, (N, C, H, W), scaled to about [-1, 1].
            free: the ``num_free`` drawn parameters, each (N, C, H, W).

        Returns:
            ``phi``, (N, P*C, H, W).
        """

    @abstractmethod
    def integral(self, phi: Tensor, t: Tensor | float) -> Tensor:
        """``H_t``, the integral of ``h`` from 0 to t: (N, C, H, W)."""

    @abstractmethod
    def rate(self, phi: Tensor, t: Tensor | float) -> Tensor:
        """``h_t``, the attenuation rate: derivative of :meth:`integral`."""

    def image(self, phi: Tensor) -> Tensor:
        """The image that ``phi`` alone predicts, ``x0 = -H_1``: (N, C, H, W)."""
        return -self.integral(phi, torch.ones((), dtype=phi.dtype, device=phi.device))

    @property
    def num_params(self) -> int:
        """P, the number of parameters per pixel and channel."""
        return self.num_free + 1

    @property
    def free_variance(self) -> float:
        """Variance of one drawn parameter: a standard normal clipped to the limit."""
        limit = self.free_limit
        density = math.exp(-(limit**2) / 2) / math.sqrt(2 * math.pi)
        tail = math.erfc(limit / math.sqrt(2))
        return 1 - tail - 2 * limit * density + limit**2 * tail

    def draw(self, x0: Tensor, noise: ShapedNoise) -> Tensor:
        """Draw all parameters but the last, and solve for the last (Alg. 1, line 3).

        Args:
            x0: the image, (N, C, H, W).
            noise: where the drawn parameters come from. With one random stream per
                sample, a sample's ``phi`` does not depend on its batch.

        Returns:
            ``phi`` with ``x0 + H_1 = 0``, (N, P*C, H, W).
        """
        limit = self.free_limit
        free = (noise(x0.shape[1:]).to(x0) for _ in range(self.num_free))
        return self.solve(x0, *(param.clamp(-limit, limit) for param in free))

    def correct(self, phi: Tensor, x0: Tensor) -> Tensor:
        """The ``phi`` that leads to ``x0``, with the drawn parameters of ``phi``."""
        return self.solve(x0, *self.split(phi)[:-1])

    def split(self, phi: Tensor) -> tuple[Tensor, ...]:
        """The P parameters of ``phi``, each (N, C, H, W)."""
        if phi.shape[1] % self.num_params:
            raise ValueError(
                f'{type(self).__name__} has {self.num_params} parameters per channel, '
                f'but phi has {phi.shape[1]} channels. Set the first entry of '
                f"the head's out_channels to {self.num_params} x the image channels."
            )
        return phi.chunk(self.num_params, dim=1)


@ATTENUATIONS.register_module()
class ConstantAttenuation(Attenuation):
    """``h_t = c``, the paper's choice: ``c = -x0``, ``H_t = c t`` (Sec. V-A)."""

    def solve(self, x0: Tensor) -> Tensor:
        return -x0

    def integral(self, phi: Tensor, t: Tensor | float) -> Tensor:
        (c,) = self.split(phi)
        return c * t

    def rate(self, phi: Tensor, t: Tensor | float) -> Tensor:
        (c,) = self.split(phi)
        return c + 0 * t


@ATTENUATIONS.register_module()
class LinearAttenuation(Attenuation):
    """``h_t = a t + c``: a is drawn, ``c = -x0 - a/2`` (Sec. V-A)."""

    num_free = 1

    def solve(self, x0: Tensor, a: Tensor) -> Tensor:
        return torch.cat([a, -x0 - a / 2], dim=1)

    def integral(self, phi: Tensor, t: Tensor | float) -> Tensor:
        a, c = self.split(phi)
        return a * t**2 / 2 + c * t

    def rate(self, phi: Tensor, t: Tensor | float) -> Tensor:
        a, c = self.split(phi)
        return a * t + c


@ATTENUATIONS.register_module()
class QuadraticAttenuation(Attenuation):
    """``h_t = a t^2 + b t + c``: a, b are drawn, ``c = -x0 - a/3 - b/2``."""

    num_free = 2

    def solve(self, x0: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return torch.cat([a, b, -x0 - a / 3 - b / 2], dim=1)

    def integral(self, phi: Tensor, t: Tensor | float) -> Tensor:
        a, b, c = self.split(phi)
        return a * t**3 / 3 + b * t**2 / 2 + c * t

    def rate(self, phi: Tensor, t: Tensor | float) -> Tensor:
        a, b, c = self.split(phi)
        return a * t**2 + b * t + c


@ATTENUATIONS.register_module()
class ExponentialAttenuation(Attenuation):
    """``h_t = a e^t + c``: a is drawn, ``c = -x0 - a (e - 1)``."""

    num_free = 1

    def solve(self, x0: Tensor, a: Tensor) -> Tensor:
        return torch.cat([a, -x0 - a * math.expm1(1)], dim=1)

    def integral(self, phi: Tensor, t: Tensor | float) -> Tensor:
        a, c = self.split(phi)
        return a * torch.expm1(_like(t, phi)) + c * t

    def rate(self, phi: Tensor, t: Tensor | float) -> Tensor:
        a, c = self.split(phi)
        return a * torch.exp(_like(t, phi)) + c


@ATTENUATIONS.register_module()
class SquareRootAttenuation(Attenuation):
    """``h_t = a sqrt(t) + c``: a is drawn, ``c = -x0 - 2a/3``."""

    num_free = 1

    def solve(self, x0: Tensor, a: Tensor) -> Tensor:
        return torch.cat([a, -x0 - a * 2 / 3], dim=1)

    def integral(self, phi: Tensor, t: Tensor | float) -> Tensor:
        a, c = self.split(phi)
        return a * t**1.5 * 2 / 3 + c * t

    def rate(self, phi: Tensor, t: Tensor | float) -> Tensor:
        a, c = self.split(phi)
        return a * t**0.5 + c


@ATTENUATIONS.register_module()
class SineAttenuation(Attenuation):
    """``h_t = sin(a t + b)``, bounded by 1: a is drawn, b is solved.

    ``H_t = t sin(b + a t/2) sinc(a t/2)`` with ``sinc(u) = sin(u)/u``, hence
    ``b = arcsin(-x0 / sinc(a/2)) - a/2``. Where ``|x0| > sinc(a/2)`` no b exists; the
    nearest one is taken, and ``x0 + H_1 = 0`` is then missed by at most
    ``1 - sinc(1/2) = 0.041`` (for ``|x0| <= 1`` and the limit 1).
    """

    num_free = 1

    def __init__(self, free_limit: float = 1.0) -> None:
        super().__init__(free_limit)
        if not free_limit < 2 * math.pi:
            raise ValueError(
                'The formulas of the sine hold for free_limit below 2 pi only, but '
                f'free_limit={free_limit}. The default is 1.'
            )

    def solve(self, x0: Tensor, a: Tensor) -> Tensor:
        b = torch.asin((-x0 / _sinc(a / 2)).clamp(-1, 1)) - a / 2
        return torch.cat([a, b], dim=1)

    def integral(self, phi: Tensor, t: Tensor | float) -> Tensor:
        a, b = self.split(phi)
        return t * torch.sin(b + a * t / 2) * _sinc(a * t / 2)

    def rate(self, phi: Tensor, t: Tensor | float) -> Tensor:
        a, b = self.split(phi)
        return torch.sin(a * t + b)


@ATTENUATIONS.register_module()
class PowerAttenuation(Attenuation):
    """``h_t = p t^(p-1) c`` with ``c = -x0``, so ``x0 + H_t = (1 - t^p) x0``.

    One parameter, which is solved, so the network predicts no more than for the
    constant function (p = 1). p = 2 is the purely linear ``h_t = C t`` of the authors'
    helper functions.

    Args:
        power: p, at least 1; the larger it is, the later the image fades.
    """

    def __init__(self, power: float = 2.0) -> None:
        super().__init__()
        if not power >= 1:
            raise ValueError(
                'The power of PowerAttenuation must be at least 1 (below, the rate is '
                f'infinite at t = 0), but power={power}. Give 1 or more.'
            )
        self.power = power

    def solve(self, x0: Tensor) -> Tensor:
        return -x0

    def integral(self, phi: Tensor, t: Tensor | float) -> Tensor:
        (c,) = self.split(phi)
        return c * t**self.power

    def rate(self, phi: Tensor, t: Tensor | float) -> Tensor:
        (c,) = self.split(phi)
        return c * self.power * t ** (self.power - 1)


@ATTENUATIONS.register_module()
class NoAttenuation(Attenuation):
    """``h_t = 0``: the image stays and is covered by noise of ``b(1) >> 1``.

    The process of EDM and of variance-exploding models; ``phi = -x0`` carries the image
    although ``x0 + H_1 = x0``.
    """

    def solve(self, x0: Tensor) -> Tensor:
        return -x0

    def integral(self, phi: Tensor, t: Tensor | float) -> Tensor:
        return 0 * phi * t

    def rate(self, phi: Tensor, t: Tensor | float) -> Tensor:
        return 0 * phi * t

    def image(self, phi: Tensor) -> Tensor:
        return -phi


def _like(t: Tensor | float, phi: Tensor) -> Tensor:
    return torch.as_tensor(t, dtype=phi.dtype, device=phi.device)


def _sinc(u: Tensor) -> Tensor:
    """sin(u) / u; torch's sinc has a factor pi in it."""
    return torch.sinc(u / math.pi)
