"""Time grids: the times at which a sampler evaluates the network.

A grid maps a number of steps N to N + 1 decreasing times from 1 to 0. The network is
evaluated at all but the last of them: N steps are N function evaluations (NFE).
"""

import inspect
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from mmadm.registry import SAMPLERS

from .process import ADMProcess

#: The largest number of sampling steps: ten times that of DDPM.
MAX_STEPS = 10_000


class ShowsSettings:
    """Mixin: the representation shows the arguments of the constructor."""

    def __repr__(self) -> str:
        names = inspect.signature(type(self)).parameters
        settings = [f'{name}={getattr(self, name)!r}' for name in names]
        return f'{type(self).__name__}({", ".join(settings)})'


class TimeGrid(ShowsSettings, ABC):
    """Base class of time grids: N steps to N + 1 times.

    No grid goes below ``t_min`` before its last step, however many steps it has: the
    networks are not trained there.
    """

    def __call__(self, num_steps: int, process: ADMProcess) -> Tensor:
        """Times from 1 to 0, (N + 1,), float64.

        Raises:
            ValueError: ``num_steps`` is not a positive integer or too large, or the
                times do not decrease.
        """
        times = self.times(check_num_steps(num_steps), process).double()
        return check_decreasing(torch.cat([times, times.new_zeros(1)]))

    @abstractmethod
    def times(self, num_steps: int, process: ADMProcess) -> Tensor:
        """The N times of the function evaluations, decreasing from 1, (N,)."""


def check_num_steps(num_steps: int) -> int:
    """``num_steps`` as an int, checked before anything of its size is made.

    Raises:
        ValueError: it is not an integer from 1 to :data:`MAX_STEPS`.
    """
    # Text, True and NaN are refused; 4.0 and NumPy's integers are accepted.
    is_number = hasattr(num_steps, '__float__') and not isinstance(num_steps, bool)
    if not (is_number and 1 <= num_steps <= MAX_STEPS and num_steps % 1 == 0):
        raise ValueError(
            f'The number of sampling steps must be a positive integer up to {MAX_STEPS}'
            f', but num_steps={num_steps!r}. The paper uses 5 and 10.'
        )
    return int(num_steps)


def check_decreasing(times: Tensor) -> Tensor:
    """``times`` unchanged, if they decrease from 1 (or below) to 0."""
    if not ((times.diff() < 0).all() and times[0] <= 1 and times[-1] == 0):
        shown = [round(t, 6) for t in times.tolist()]
        shown = shown if len(shown) <= 12 else [*shown[:6], '...', *shown[-5:]]
        raise ValueError(
            'A time grid must decrease strictly from at most 1 to 0, but the times are '
            f'{shown}. Change the grid or the number of steps.'
        )
    return times


def _evenly(num_steps: int, last: float) -> Tensor:
    """N evenly spaced numbers from 1 to ``last`` (N = 1: just 1)."""
    return 1 + torch.linspace(0, 1, num_steps, dtype=torch.float64) * (last - 1)


def _equal_steps(num_steps: int, smallest: float) -> Tensor:
    """1, 1 - 1/N, ..., 1/N; evenly to ``smallest`` where 1/N is below it."""
    if 1 / num_steps < smallest:
        return _evenly(num_steps, smallest)
    return 1 - torch.arange(num_steps, dtype=torch.float64) / num_steps


@SAMPLERS.register_module()
class UniformGrid(TimeGrid):
    """Uniform in t, the last step starts at the smallest time (Alg. 2 with Sec. V-A).

    Args:
        t_last: start of the last step. None takes the process's ``t_min``; the authors'
            samplers use ``sigma_min ** 2``, 1e-4, which is an error for a network that
            was trained with a larger ``t_min``.
    """

    def __init__(self, t_last: float | None = None) -> None:
        self.t_last = t_last

    def times(self, num_steps: int, process: ADMProcess) -> Tensor:
        return _evenly(num_steps, process.t_min if self.t_last is None else self.t_last)


@SAMPLERS.register_module()
class EqualStepGrid(TimeGrid):
    """Algorithm 2 literally: steps of equal size s = 1/N down to t = 0.

    Where 1/N is below ``t_min``, the last step starts at ``t_min``.
    """

    def times(self, num_steps: int, process: ADMProcess) -> Tensor:
        return _equal_steps(num_steps, process.t_min)


@SAMPLERS.register_module()
class SplitStepGrid(EqualStepGrid):
    """Equal steps, the last one split at ``t_min``, as in the authors' older code.

    They counted N steps and evaluated the network N + 1 times; here N is the number of
    evaluations: N - 1 equal steps and the split.
    """

    def times(self, num_steps: int, process: ADMProcess) -> Tensor:
        if num_steps == 1 or 1 / (num_steps - 1) <= process.t_min:
            return super().times(num_steps, process)
        times = super().times(num_steps - 1, process)
        return torch.cat([times, times.new_tensor([process.t_min])])


@SAMPLERS.register_module()
class UniformSigmaGrid(TimeGrid):
    """Uniform in the noise level b(t): ``t_i = (1 - i/N)^2`` for ``b = sqrt(t)``.

    Where the last of these times is below ``t_min``, the levels are even from 1 to
    ``b(t_min)`` instead.
    """

    def times(self, num_steps: int, process: ADMProcess) -> Tensor:
        ends = torch.tensor([1.0, process.t_min], dtype=torch.float64)
        std_1, std_min = process.noise.std(ends)
        levels = _equal_steps(num_steps, float(std_min / std_1))
        return _times_at(process, levels * std_1)


@SAMPLERS.register_module()
class RhoGrid(TimeGrid):
    """EDM's grid: levels b(t) whose roots of order rho are evenly spaced.

    Args:
        rho: 7 in EDM; 1 is uniform in b(t), larger numbers give shorter steps near the
            image.
    """

    def __init__(self, rho: float = 7.0) -> None:
        if not rho > 0:
            raise ValueError(
                f'The order of the root must be positive, but rho={rho}. EDM uses 7.'
            )
        self.rho = rho

    def times(self, num_steps: int, process: ADMProcess) -> Tensor:
        ends = torch.tensor([1.0, process.t_min], dtype=torch.float64)
        std_1, std_min = process.noise.std(ends)
        roots = _evenly(num_steps, float(std_min / std_1) ** (1 / self.rho))
        return _times_at(process, roots**self.rho * std_1)


def _times_at(process: ADMProcess, levels: Tensor) -> Tensor:
    """The times of noise levels; the limits remove rounding only."""
    return process.noise.time(levels).clamp(process.t_min, 1)
