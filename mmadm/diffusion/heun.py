"""Runge-Kutta sampler of second order, with EDM's stochastic churn."""

from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

from mmadm.registry import SAMPLERS

from .grids import TimeGrid, UniformGrid, check_num_steps
from .noise_path import NoisePath
from .process import ADMProcess
from .samplers import Denoiser, NoiseSource, Sampler


@SAMPLERS.register_module()
class HeunSampler(Sampler):
    """Heun's method and its family for the ODE ``dx = dH_t(phi) + eps db``.

    Algorithm 2 of Karras et al., Elucidating the Design Space of Diffusion-Based
    Generative Models (2022), for any process. A step has two function evaluations: at
    its start, and at the fraction ``alpha`` of it. The last step has one, because no
    network is trained at its end, t = 0; where the NFE is even the first step has one
    too.

    Args:
        num_steps: the default NFE, N: it makes ``N // 2 + 1`` steps.
        grid: time grid, or its config.
        clip: bound of the image estimate and of the result.
        alpha: 1 is Heun's method, 1/2 the midpoint rule, 2/3 that of Ralston.
        churn: S_churn of EDM: noise that the steps add together; 0 is deterministic.
        churn_levels: noise levels b(t) between which noise is added.
        churn_noise: S_noise of EDM, the standard deviation of the added noise.
    """

    def __init__(
        self,
        num_steps: int = 35,
        grid: TimeGrid | dict = dict(type=UniformGrid),
        clip: float | None = None,
        alpha: float = 1.0,
        churn: float = 0.0,
        churn_levels: tuple[float, float] = (0.0, float('inf')),
        churn_noise: float = 1.0,
    ) -> None:
        super().__init__(num_steps, grid, clip)
        if not 0 < alpha <= 1:
            raise ValueError(
                'The second evaluation of a step lies inside it, at a fraction above 0 '
                f"up to 1, but alpha={alpha}. Give 1 for Heun's method, 0.5 for the "
                'midpoint rule.'
            )
        if not churn >= 0:
            raise ValueError(
                f'The churn is not negative, but churn={churn}. Give 0 for '
                'deterministic sampling, 40 or so for stochastic sampling.'
            )
        self.alpha = alpha
        self.churn = churn
        self.churn_levels = churn_levels
        self.churn_noise = churn_noise

    def times(self, process: ADMProcess, num_steps: int | None = None) -> list[float]:
        """The times of the steps, from 1 to 0; ``num_steps`` is the NFE."""
        nfe = check_num_steps(self.num_steps if num_steps is None else num_steps)
        return super().times(process, nfe // 2 + 1)

    def reverse(
        self,
        process: ADMProcess,
        denoise: Denoiser,
        x_t: Tensor,
        num_steps: int,
        noise: NoiseSource,
    ) -> Tensor:
        """Two function evaluations per step."""
        times = self.times(process, num_steps)
        phi = None
        for i, (t, r) in enumerate(pairwise(times)):
            later = self._churned(process, t, len(times) - 1)
            if later > t:
                xi = self.churn_noise * noise()
                x_t, t = process.renoise(x_t, phi, xi, t, later), later
            phi, eps = denoise(x_t, t)
            x_r = process.step(x_t, phi, eps, t, t - r, eta=0)
            if r > 0 and (i > 0 or num_steps % 2):
                s = self.alpha * (t - r)
                x_s = process.step(x_t, phi, eps, t, s, eta=0)
                second = process.step(x_t, *denoise(x_s, t - s), t, t - r, eta=0)
                x_r = x_r + (second - x_r) / (2 * self.alpha)
            x_t = x_r
        return x_t

    def _churned(self, process: ADMProcess, t: float, num_steps: int) -> float:
        """The time up to which noise is added before a step; t where none is."""
        level = process.noise_level(t)
        low, high = self.churn_levels
        # At t = 1 there is no higher level.
        if not (self.churn and t < 1 and low <= level <= high):
            return t
        raised = level * (1 + min(self.churn / num_steps, 2**0.5 - 1))
        return _time_of(process.noise, min(raised, process.initial_std))


@lru_cache(maxsize=4096)
def _time_of(noise: NoisePath, level: float) -> float:
    """The time of a noise level."""
    return min(float(noise.time(torch.tensor(level, dtype=torch.float64))), 1.0)
