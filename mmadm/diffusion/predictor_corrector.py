"""Predictor-corrector sampler of Song et al. (2021)."""

from itertools import pairwise

import torch
from torch import Tensor

from mmadm.registry import SAMPLERS

from .grids import TimeGrid, UniformGrid, check_num_steps
from .process import ADMProcess
from .samplers import Denoiser, NoiseSource, Sampler, euler_maruyama


@SAMPLERS.register_module()
class PredictorCorrectorSampler(Sampler):
    """Each step of the reverse SDE follows a step of Langevin dynamics at its start.

    Song et al., Score-Based Generative Modeling through Stochastic Differential
    Equations (2021), Algorithm 1. The predictor is Euler-Maruyama. The corrector does
    not change the distribution at time t and removes errors of earlier steps:

        x_t <- x_t - d eps / b(t) + sqrt(2 d) xi,    d = 2 (snr b(t) |xi| / |eps|)^2

    with the norms of each image. A step has two function evaluations; where the NFE is
    odd the first step has no corrector.

    Args:
        num_steps: the default NFE.
        grid: time grid, or its config.
        clip: bound of the image estimate and of the result.
        snr: signal-to-noise ratio of the Langevin step; 0.16 for CIFAR-10.
    """

    def __init__(
        self,
        num_steps: int = 2000,
        grid: TimeGrid | dict = dict(type=UniformGrid),
        clip: float | None = None,
        snr: float = 0.16,
    ) -> None:
        super().__init__(num_steps, grid, clip)
        if not snr > 0:
            raise ValueError(
                f'The Langevin step needs a positive size, but snr={snr}. Song et al. '
                'use 0.16 for CIFAR-10; without corrector use EulerMaruyamaSampler.'
            )
        self.snr = snr

    def times(self, process: ADMProcess, num_steps: int | None = None) -> list[float]:
        """The times of the steps, from 1 to 0; ``num_steps`` is the NFE."""
        nfe = check_num_steps(self.num_steps if num_steps is None else num_steps)
        return super().times(process, nfe - nfe // 2)

    def reverse(
        self,
        process: ADMProcess,
        denoise: Denoiser,
        x_t: Tensor,
        num_steps: int,
        noise: NoiseSource,
    ) -> Tensor:
        """Corrector and predictor of each step."""
        for i, (t, r) in enumerate(pairwise(self.times(process, num_steps))):
            if i > 0 or num_steps % 2 == 0:
                _, eps = denoise(x_t, t)
                x_t = self._corrected(process, x_t, eps, t, noise())
            phi, eps = denoise(x_t, t)
            x_t = euler_maruyama(process, x_t, phi, eps, t, r, noise)
        return x_t

    def _corrected(
        self, process: ADMProcess, x_t: Tensor, eps: Tensor, t: float, xi: Tensor
    ) -> Tensor:
        """One step of Langevin dynamics with the score ``-eps / b(t)``."""
        std = process.noise_level(t)
        size = self.snr * std * _norm(xi) / _norm(eps)
        return x_t - 2 * size**2 / std * eps + 2 * size * xi


def _norm(x: Tensor) -> Tensor:
    """Norm of each image, (N, 1, 1, 1)."""
    return torch.linalg.vector_norm(x, dim=(1, 2, 3), keepdim=True)
