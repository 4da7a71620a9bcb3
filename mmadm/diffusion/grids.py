"""Time grids: at which times a sampler calls the network.

A grid maps a number of steps N to N + 1 decreasing times from 1 to 0. The network is
called at all but the last of them, so N steps are N calls, whatever the grid.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from mmadm.registry import SAMPLERS

from .process import ADMProcess


class TimeGrid(ABC):
    """N steps to N + 1 times."""

    def __call__(self, num_steps: int, process: ADMProcess) -> Tensor:
        """Times from 1 to 0, (N + 1,), float64.

        Raises:
            ValueError: ``num_steps`` is not a positive integer, or the times do not
                decrease.
        """
        if isinstance(num_steps, bool) or int(num_steps) != num_steps or num_steps < 1:
            raise ValueError(
                'The number of sampling steps must be a positive integer, but '
                f'num_steps={num_steps!r}. The paper uses 5 and 10.'
            )
        times = self.times(int(num_steps), process).double()
        return check_decreasing(torch.cat([times, times.new_zeros(1)]))

    @abstractmethod
    def times(self, num_steps: int, process: ADMProcess) -> Tensor:
        """The N times of the network calls, decreasing from 1, (N,)."""


def check_decreasing(times: Tensor) -> Tensor:
    """``times`` as they are, if they decrease from 1 (or below) to 0."""
    if not ((times.diff() < 0).all() and times[0] <= 1 and times[-1] == 0):
        raise ValueError(
            'A time grid must decrease strictly from at most 1 to 0, but the times are '
            f'{[round(t, 6) for t in times.tolist()]}. Change the grid or the number '
            'of steps.'
        )
    return times


def _fractions(num_steps: int) -> Tensor:
    """N numbers from 0 to 1, both included (N = 1: just 0)."""
    return torch.linspace(0, 1, num_steps, dtype=torch.float64)


@SAMPLERS.register_module()
class UniformGrid(TimeGrid):
    """Uniform in t, the last denoising at the smallest time (Alg. 2 with Sec. V-A).

    Args:
        t_last: time of the last call. None takes the process's ``t_min``; the authors'
            samplers use ``sigma_min ** 2``, 1e-4, which a network trained from a larger
            ``t_min`` on refuses.
    """

    def __init__(self, t_last: float | None = None) -> None:
        self.t_last = t_last

    def times(self, num_steps: int, process: ADMProcess) -> Tensor:
        t_last = process.t_min if self.t_last is None else self.t_last
        return 1 + _fractions(num_steps) * (t_last - 1)


@SAMPLERS.register_module()
class EqualStepGrid(TimeGrid):
    """Algorithm 2 to the letter: steps of equal size s = 1/N down to t = 0."""

    def times(self, num_steps: int, process: ADMProcess) -> Tensor:
        return 1 - torch.arange(num_steps, dtype=torch.float64) / num_steps


@SAMPLERS.register_module()
class SplitStepGrid(EqualStepGrid):
    """Equal steps, the last one split at ``t_min``, as in the authors' older code.

    They counted N steps and called the network N + 1 times; here N is the number of
    calls: N - 1 equal steps and the split.
    """

    def times(self, num_steps: int, process: ADMProcess) -> Tensor:
        if num_steps == 1:
            return super().times(1, process)
        times = super().times(num_steps - 1, process)
        return torch.cat([times, times.new_tensor([process.t_min])])


@SAMPLERS.register_module()
class UniformSigmaGrid(TimeGrid):
    """Uniform in the noise level b(t): ``t_i = (1 - i/N)^2`` for ``b = sqrt(t)``."""

    def times(self, num_steps: int, process: ADMProcess) -> Tensor:
        share = 1 - torch.arange(num_steps, dtype=torch.float64) / num_steps
        std_1 = process.noise.std(share.new_ones(()))
        return process.noise.time(share * std_1)


@SAMPLERS.register_module()
class PowerLawGrid(TimeGrid):
    """Power law in the noise-to-signal ratio ``b(t) / (1 - t)`` of the constant h_t.

    N values of ``ratio^(1/rho)``, evenly spaced between the two ends, give the times of
    the calls; the first of them moves on to t = 1, where the ratio is infinite.

    Args:
        ratio_max: where the spacing starts; 80 lies at t = 0.988 for ``b = sqrt(t)``.
        ratio_min: ratio of the last call; None takes that of the process's ``t_min``,
            below which networks know nothing.
        rho: 1 spaces the ratios evenly, larger values crowd them at the image's end.
    """

    def __init__(
        self, ratio_max: float = 80.0, ratio_min: float | None = None, rho: float = 7.0
    ) -> None:
        if not (ratio_max > (ratio_min or 0) >= 0 and ratio_min != 0 and rho > 0):
            raise ValueError(
                'A power-law grid needs ratio_max > ratio_min > 0 and rho > 0, but '
                f'ratio_max={ratio_max}, ratio_min={ratio_min}, rho={rho}.'
            )
        self.ratio_max = ratio_max
        self.ratio_min = ratio_min
        self.rho = rho

    def times(self, num_steps: int, process: ADMProcess) -> Tensor:
        ratio_min = self.ratio_min
        if ratio_min is None:
            t_min = torch.tensor(process.t_min, dtype=torch.float64)
            ratio_min = float(process.noise.std(t_min) / (1 - t_min))
        top, bottom = self.ratio_max ** (1 / self.rho), ratio_min ** (1 / self.rho)
        ratios = (top + _fractions(num_steps) * (bottom - top)) ** self.rho
        times = self._invert(ratios, process)
        times[0] = 1.0
        return times

    def _invert(self, ratios: Tensor, process: ADMProcess) -> Tensor:
        """Times at which noise / signal equals each ratio, by bisection."""
        low, high = torch.zeros_like(ratios), torch.ones_like(ratios)
        for _ in range(60):
            middle = (low + high) / 2
            too_noisy = process.noise.std(middle) > ratios * (1 - middle)
            low, high = low.where(too_noisy, middle), middle.where(too_noisy, high)
        return (low + high) / 2
