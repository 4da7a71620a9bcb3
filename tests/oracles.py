"""Independent references and helpers that several test files share.

No expected value here is computed by the code under test, with one exception: a
perfect denoiser uses the attenuation's ``H_t``, which ``test_attenuation.py`` checks by
quadrature.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from mmadm.diffusion import (
    ADMProcess,
    Attenuation,
    ConstantAttenuation,
    ExponentialAttenuation,
    LinearAttenuation,
    LinearNoise,
    PowerAttenuation,
    QuadraticAttenuation,
    SineAttenuation,
    SquareRootAttenuation,
    WienerNoise,
)

#: Every attenuation function of Fig. 7, and the one-parameter family at two powers.
ATTENUATION_CONFIGS: dict[str, dict] = {
    'constant': dict(type=ConstantAttenuation),
    'linear': dict(type=LinearAttenuation),
    'quadratic': dict(type=QuadraticAttenuation),
    'exponential': dict(type=ExponentialAttenuation),
    'square root': dict(type=SquareRootAttenuation),
    'sine': dict(type=SineAttenuation),
    'power 2': dict(type=PowerAttenuation),
    'power 1.5': dict(type=PowerAttenuation, power=1.5),
}
NOISE_CONFIGS: dict[str, dict] = {
    'wiener': dict(type=WienerNoise),
    'linear': dict(type=LinearNoise),
}
#: b^2(t) of each noise path, in plain numbers.
NOISE_VARIANCE: dict[str, Callable[[float], float]] = {
    'wiener': lambda t: t,
    'linear': lambda t: t * t,
}
#: h_t in plain torch, from the paper's Sec. V-A and `reference.md`, section 2.
RATES: dict[str, Callable[..., Tensor]] = {
    'constant': lambda t, c: c + 0 * t,
    'linear': lambda t, a, c: a * t + c,
    'quadratic': lambda t, a, b, c: a * t * t + b * t + c,
    'exponential': lambda t, a, c: a * math.e**t + c,
    'square root': lambda t, a, c: a * t**0.5 + c,
    'sine': lambda t, a, b: torch.sin(a * t + b),
    'power 2': lambda t, c: 2 * c * t,
    'power 1.5': lambda t, c: 1.5 * c * t**0.5,
}


def make_attenuation(name: str, **kwargs) -> Attenuation:
    config = ATTENUATION_CONFIGS[name] | kwargs
    return config.pop('type')(**config)


def make_process(
    attenuation: str = 'constant', noise: str = 'wiener', t_min: float = 1e-4
) -> ADMProcess:
    return ADMProcess(ATTENUATION_CONFIGS[attenuation], NOISE_CONFIGS[noise], t_min)


def make_images(*shape: int, seed: int = 0, limit: float = 0.95) -> Tensor:
    """Uniform in +-limit, float64; 0.95 is within the range of the sine."""
    generator = torch.Generator().manual_seed(seed)
    shape = shape or (2, 3, 4, 4)
    return limit * (2 * torch.rand(shape, generator=generator).double() - 1)


def make_noise(*shape: int, seed: int = 1) -> Tensor:
    """Standard normal, float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape or (2, 3, 4, 4), generator=generator).double()


def draw_phi(process: ADMProcess, x0: Tensor, seed: int = 0) -> Tensor:
    """A training target of the image decoder."""
    generator = torch.Generator().manual_seed(seed)
    return process.target(
        x0, lambda shape: torch.randn((len(x0), *shape), generator=generator).double()
    )


class NoiseStream:
    """A source of fresh noise that records its outputs."""

    def __init__(self, *shape: int, seed: int = 1) -> None:
        self.shape = shape or (2, 3, 4, 4)
        self.seed = seed
        self.drawn: list[Tensor] = []

    def __call__(self) -> Tensor:
        self.drawn.append(make_noise(*self.shape, seed=self.seed + len(self.drawn)))
        return self.drawn[-1]


class PerfectDenoiser:
    """Outputs the exact phi of a known image, and the noise that x_t then contains."""

    def __init__(self, process: ADMProcess, x0: Tensor, phi: Tensor | None = None):
        self.process = process
        self.x0 = x0
        self.phi = draw_phi(process, x0) if phi is None else phi
        self.times: list[float] = []

    def __call__(self, x_t: Tensor, t: float) -> tuple[Tensor, Tensor]:
        self.times.append(t)
        mean = self.x0 + self.process.attenuation.integral(self.phi, t)
        std = self.process.noise.std(torch.tensor(t, dtype=torch.float64))
        return self.phi, (x_t - mean) / std


class GaussianDenoiser:
    """The best possible outputs, E[phi | x_t] and E[eps | x_t], for Gaussian images.

    For ``x_t = g x0 + b eps`` with ``x0 ~ N(mean, std^2)`` and ``phi = -x0``.
    """

    def __init__(
        self,
        mean: float,
        std: float,
        signal: Callable[[float], float],
        noise: Callable[[float], float],
    ) -> None:
        self.mean, self.std = mean, std
        self.signal, self.noise = signal, noise

    def __call__(self, x_t: Tensor, t: float) -> tuple[Tensor, Tensor]:
        g, b = self.signal(t), self.noise(t)
        deviation = (x_t - g * self.mean) / (g**2 * self.std**2 + b**2)
        return -(self.mean + g * self.std**2 * deviation), b * deviation
