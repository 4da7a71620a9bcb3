"""Critically-damped Langevin diffusion (Dockhorn et al., 2022), a row of Table II.

The state is the image and a velocity, along the channels. Both are scaled to unit
variance at equilibrium, so that their process is the critically damped oscillator

    dx = w dT,    dw = -(x + 2 w) dT + 2 dW

in the time T = 8 t: the paper's M = 1/4, Gamma = 1, beta = 4, and w = v / sqrt(M).
"""

from itertools import pairwise
from typing import NoReturn

import torch
from torch import Tensor

from mmadm.registry import ATTENUATIONS, MODELS, SAMPLERS

from .attenuation import NoAttenuation
from .noise_path import NoisePath
from .process import ADMProcess, widest
from .samplers import Denoiser, NoiseSource, Sampler, euler_maruyama
from .times import TrainingTimes, UniformTimes

# T at t = 1: 2 beta / sqrt(4 M).
_DURATION = 8.0


def _flow(duration: Tensor, direction: float = 1.0) -> tuple[Tensor, ...]:
    """Matrix exponential of the drift, row by row; -1 reverses the velocity."""
    decay, turn = torch.exp(-duration), direction * duration
    return (1 + duration) * decay, turn * decay, -turn * decay, (1 - duration) * decay


def _cholesky(xx: Tensor, xw: Tensor, ww: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The lower triangle of the factor of a 2 x 2 covariance."""
    first = xx.sqrt()
    cross = xw / first
    return first, cross, (ww - cross**2).sqrt()


def _unsupported(*_, **__) -> NoReturn:
    raise ValueError(
        'CLD has matrices in place of H_t and of the noise level b(t), but a sampler, '
        'time grid, prediction, scaling or distribution of times that uses them was '
        'given. Use SSCSSampler or EulerMaruyamaSampler on a grid in t, such as '
        "UniformGrid, and Preconditioner(scaling='cld', predicts='velocity_noise')."
    )


@MODELS.register_module()
class CLDNoise(NoisePath):
    """The noise of image and velocity.

    Args:
        velocity_variance: variance of w at t = 0, gamma of the paper.
    """

    def __init__(self, velocity_variance: float = 0.04) -> None:
        self.velocity_variance = velocity_variance

    std = time = variance_rate = _unsupported

    def factor(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Cholesky factor of the covariance: ``I - A diag(1, 1 - gamma) A^T``."""
        a, b, c, d = _flow(_DURATION * t)
        rest = 1 - self.velocity_variance
        covariance = 1 - a**2 - rest * b**2, -a * c - rest * b * d, 1 - c**2
        return _cholesky(*covariance[:2], covariance[2] - rest * d**2)


@ATTENUATIONS.register_module()
class CLDAttenuation(NoAttenuation):
    """``phi = -x0``; how the image turns into velocity is known to the process."""

    integral = rate = _unsupported


@MODELS.register_module()
class CLDProcess(ADMProcess):
    """The process of image and velocity; ``eps`` is the noise of both, in this order.

        x_t = a x0 + L_11 eps_x,    w_t = c x0 + L_21 eps_x + L_22 eps_w

    The velocity at t = 0 is normal and integrated out: hybrid score matching, whose
    target is ``eps_w``. Images come with velocity channels of zeros, from
    :class:`mmadm.models.VelocityStage`.

    Args:
        t_min: the smallest time.
        velocity_variance: variance of w at t = 0.
        times: distribution of the training times, or its config.
    """

    def __init__(
        self,
        t_min: float = 1e-3,
        velocity_variance: float = 0.04,
        times: TrainingTimes | dict = dict(type=UniformTimes),
    ) -> None:
        noise = dict(type=CLDNoise, velocity_variance=velocity_variance)
        super().__init__(dict(type=CLDAttenuation), noise, t_min, times=times)

    @property
    def initial_std(self) -> float:
        """Image and velocity start at equilibrium."""
        return 1.0

    step = renoise = _unsupported

    def diffuse(
        self, x0: Tensor, phi: Tensor, eps: Tensor, t: Tensor | float
    ) -> Tensor:
        """Draw image and velocity at time t, (N, 2C, H, W)."""
        (a, c), (first, cross, last) = self._mean(t, x0), self._factor(t, x0)
        image, (eps_x, eps_w) = x0.chunk(2, 1)[0], eps.chunk(2, 1)
        position = a * image + first * eps_x
        return torch.cat([position, c * image + cross * eps_x + last * eps_w], 1)

    def solve(
        self, x_t: Tensor, eps_w: Tensor, t: Tensor | float
    ) -> tuple[Tensor, Tensor]:
        """phi and eps from the noise of the velocity (N, C, H, W), and the state."""
        (a, c), (first, cross, last) = self._mean(t, x_t), self._factor(t, x_t)
        position, velocity = x_t.chunk(2, 1)
        velocity = velocity - last * eps_w
        determinant = a * cross - c * first
        image = (cross * position - first * velocity) / determinant
        eps_x = (a * velocity - c * position) / determinant
        phi = torch.cat([-image, torch.zeros_like(image)], 1)
        return phi, torch.cat([eps_x, eps_w], 1)

    def denoised(
        self, x_t: Tensor, phi: Tensor, eps: Tensor, t: Tensor | float
    ) -> Tensor:
        """The image, with a velocity of zero."""
        return self.image(phi)

    def reverse_sde(
        self, x_t: Tensor, phi: Tensor, eps: Tensor, t: Tensor | float
    ) -> tuple[Tensor, Tensor]:
        """Drift and diffusion of the reverse SDE; only the velocity is diffused."""
        position, velocity = x_t.chunk(2, 1)
        score = -eps.chunk(2, 1)[1] / self._factor(t, x_t)[2]
        drift = [velocity, -position - 2 * velocity - 4 * score]
        noisy = torch.ones_like(position)
        diffusion = 2 * _DURATION**0.5 * torch.cat([0 * noisy, noisy], 1)
        return _DURATION * torch.cat(drift, 1), diffusion

    def relax(self, x_t: Tensor, s: float, xi: Tensor) -> Tensor:
        """The exact step of the reverse SDE over s with the score of equilibrium.

        Args:
            x_t: the state (N, 2C, H, W).
            s: step size.
            xi: fresh standard normal noise (N, 2C, H, W).
        """
        a, b, c, d = _flow(torch.tensor(_DURATION * s, dtype=torch.float64), -1.0)
        covariance = 1 - a**2 - b**2, -a * c - b * d, 1 - c**2 - d**2
        first, cross, last = map(float, _cholesky(*covariance))
        a, b, c, d = map(float, (a, b, c, d))
        (position, velocity), (xi_x, xi_w) = x_t.chunk(2, 1), xi.chunk(2, 1)
        new_position = a * position + b * velocity + first * xi_x
        new_velocity = c * position + d * velocity + cross * xi_x + last * xi_w
        return torch.cat([new_position, new_velocity], 1)

    def push(self, x_t: Tensor, eps: Tensor, t: float, s: float) -> Tensor:
        """Euler step over s with what the score differs from that of equilibrium."""
        position, velocity = x_t.chunk(2, 1)
        excess = velocity - eps.chunk(2, 1)[1] / self._factor(t, x_t)[2]
        return torch.cat([position, velocity + 4 * _DURATION * s * excess], 1)

    def velocity_skip(self, t: Tensor, sigma_data: float) -> Tensor:
        """The best linear estimate of ``eps_w`` from w is this factor times w."""
        _, cross, last = self.noise.factor(t)
        c = _flow(_DURATION * t)[2]
        return last / ((c * sigma_data) ** 2 + cross**2 + last**2)

    def _mean(self, t: Tensor | float, x: Tensor) -> tuple[Tensor, Tensor]:
        a, _, c, _ = _flow(_DURATION * self._precise(t, x))
        return a.to(x), c.to(x)

    def _factor(self, t: Tensor | float, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        first, cross, last = self.noise.factor(self._precise(t, x))
        return first.to(x), cross.to(x), last.to(x)

    def _precise(self, t: Tensor | float, x: Tensor) -> Tensor:
        """``t`` in float64: the covariance is a small difference at small times."""
        return self.expand_time(t, widest(x))


@SAMPLERS.register_module()
class SSCSSampler(Sampler):
    """Symmetric splitting sampler of CLD, with one function evaluation per step.

    The exact solution with the score of equilibrium over half a step, an Euler step
    with what the score differs from it, in the middle, and the exact solution again
    (Dockhorn et al., Sec. 3.3). The last step is Euler-Maruyama's mean. The arguments
    are those of :class:`Sampler`.
    """

    def reverse(
        self,
        process: CLDProcess,
        denoise: Denoiser,
        x_t: Tensor,
        num_steps: int,
        noise: NoiseSource,
    ) -> Tensor:
        """Images and velocities (N, 2C, H, W)."""
        *steps, (last, end) = pairwise(self.times(process, num_steps))
        for t, r in steps:
            half = (t - r) / 2
            x_t = process.relax(x_t, half, noise())
            _, eps = denoise(x_t, t - half)
            x_t = process.push(x_t, eps, t - half, t - r)
            x_t = process.relax(x_t, half, noise())
        outputs = denoise(x_t, last)
        return euler_maruyama(process, x_t, *outputs, last, end, noise)
