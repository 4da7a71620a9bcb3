"""The variance-preserving process of DDPM, the baseline of Tables II, IV and VI.

Written as Eq. (6) it is another attenuation, ``x0 + H_t = alpha_t x0``, with another
noise path, ``b(t) = beta_t``. Only the posterior between two times differs, because
DDPM attenuates the noise together with the image.
"""

import torch
from torch import Tensor

from mmadm.registry import ATTENUATIONS, MODELS

from .attenuation import Attenuation
from .noise_path import NoisePath
from .process import ADMProcess
from .times import TrainingTimes, UniformTimes

# DDPM's linear schedule, 1,000 variances from 1e-4 to 0.02, in continuous time.
_BETA_0, _BETA_1 = 0.1, 20.0


def _beta(t: Tensor) -> Tensor:
    """DDPM's variance per unit of time, ``g_t^2 = -2 f_t`` in Eq. (2)."""
    return _BETA_0 + t * (_BETA_1 - _BETA_0)


def _log_alpha(t: Tensor) -> Tensor:
    return -t * _BETA_0 / 2 - t**2 * (_BETA_1 - _BETA_0) / 4


@ATTENUATIONS.register_module()
class VPAttenuation(Attenuation):
    """Attenuation of DDPM: ``x0 + H_t = alpha_t x0`` with ``phi = -x0``.

    ``alpha_1`` is 0.0066, not zero.
    """

    def solve(self, x0: Tensor) -> Tensor:
        return -x0

    def integral(self, phi: Tensor, t: Tensor | float) -> Tensor:
        return -phi * torch.expm1(_log_alpha(torch.as_tensor(t).to(phi)))

    def rate(self, phi: Tensor, t: Tensor | float) -> Tensor:
        t = torch.as_tensor(t).to(phi)
        return phi * _beta(t) / 2 * torch.exp(_log_alpha(t))

    def image(self, phi: Tensor) -> Tensor:
        return -phi


@MODELS.register_module()
class VPNoise(NoisePath):
    """Noise path of DDPM: ``b(t) = beta_t = sqrt(1 - alpha_t^2)``."""

    def std(self, t: Tensor) -> Tensor:
        return torch.sqrt(-torch.expm1(2 * _log_alpha(t)))

    def time(self, std: Tensor) -> Tensor:
        # b(1) is slightly below 1; levels above it are mapped to t = 1.
        log_alpha = torch.log1p(-(std**2)) / 2
        slope = _BETA_1 - _BETA_0
        root = torch.sqrt(_BETA_0**2 / 4 - slope * log_alpha)
        return ((root - _BETA_0 / 2) * 2 / slope).clamp(max=1.0)

    def variance_rate(self, t: Tensor) -> Tensor:
        return _beta(t) * torch.exp(2 * _log_alpha(t))


@MODELS.register_module()
class VPProcess(ADMProcess):
    """DDPM in continuous time, Eq. (1): ``x_t = alpha_t x0 + beta_t eps``.

    The step with ``eta = 1`` is DDPM's ancestral step, with ``eta = 0`` DDIM's.
    """

    def __init__(
        self, t_min: float = 1e-3, times: TrainingTimes | dict = dict(type=UniformTimes)
    ) -> None:
        super().__init__(
            dict(type=VPAttenuation), dict(type=VPNoise), t_min, times=times
        )

    def bridge_variance(self, t: Tensor, r: Tensor) -> Tensor:
        """``beta_r^2 / beta_t^2 (1 - alpha_t^2 / alpha_r^2)``, DDPM's posterior."""
        added = -torch.expm1(2 * (_log_alpha(t) - _log_alpha(r)))
        return (self.noise.std(r) / self.noise.std(t)) ** 2 * added

    def renoise(
        self, x_t: Tensor, phi: Tensor, xi: Tensor, t: float, later: float
    ) -> Tensor:
        """DDPM's forward step: the noise in ``x_t`` fades together with the image."""
        t, later = self.expand_time(t, x_t), self.expand_time(later, x_t)
        log_ratio = _log_alpha(later) - _log_alpha(t)
        return x_t * log_ratio.exp() + torch.sqrt(-torch.expm1(2 * log_ratio)) * xi

    def reverse_sde(
        self, x_t: Tensor, phi: Tensor, eps: Tensor, t: Tensor | float
    ) -> tuple[Tensor, Tensor]:
        """Eq. (5): drift ``f_t x_t + g_t^2 / beta_t eps``, diffusion ``g_t``."""
        t = self.expand_time(t, x_t)
        beta = _beta(t)
        return -beta / 2 * x_t + beta / self.noise.std(t) * eps, beta.sqrt()
