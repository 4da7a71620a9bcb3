"""Training times: how often each time of the process is trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mmadm.registry import MODELS

if TYPE_CHECKING:
    from .process import ADMProcess


class TrainingTimes(ABC):
    """Base class of distributions of the training times.

    Their density multiplies the loss weights: a time that is drawn twice as often
    counts as if its weights were doubled.
    """

    @abstractmethod
    def __call__(self, u: Tensor, process: ADMProcess) -> Tensor:
        """The quantiles at u in [0, 1], (N,): times in [t_min, 1]."""


@MODELS.register_module()
class UniformTimes(TrainingTimes):
    """Uniform times, the paper's rule (Alg. 1, line 3)."""

    def __call__(self, u: Tensor, process: ADMProcess) -> Tensor:
        return process.t_min + (1 - process.t_min) * u


@MODELS.register_module()
class LogNormalTimes(TrainingTimes):
    """Noise levels with a normal logarithm, ``log b(t) ~ N(mean, std^2)``: EDM's rule.

    Args:
        mean: mean of the logarithm; the defaults are those of Karras et al. (2022).
        std: its standard deviation.
    """

    def __init__(self, mean: float = -1.2, std: float = 1.2) -> None:
        self.mean, self.std = mean, _positive('std', std)

    def __call__(self, u: Tensor, process: ADMProcess) -> Tensor:
        level = torch.exp(self.mean + self.std * torch.special.ndtri(u))
        time = process.noise.time(level.clamp(max=process.initial_std))
        return time.clamp(process.t_min, 1)


@MODELS.register_module()
class LogitNormalTimes(TrainingTimes):
    """``log(t / (1 - t)) ~ N(mean, std^2)``: middle times more often.

    The rule of Esser et al., Scaling Rectified Flow Transformers (2024).

    Args:
        mean: mean of the logit; above 0 noisy images are trained more often.
        std: its standard deviation.
    """

    def __init__(self, mean: float = 0.0, std: float = 1.0) -> None:
        self.mean, self.std = mean, _positive('std', std)

    def __call__(self, u: Tensor, process: ADMProcess) -> Tensor:
        time = torch.sigmoid(self.mean + self.std * torch.special.ndtri(u))
        return time.clamp(min=process.t_min)


@MODELS.register_module()
class ImportanceTimes(TrainingTimes):
    """Times in proportion to the errors that the training log shows.

    Args:
        errors: positive errors of intervals of equal length, the smallest times first:
            ``image_mse_t0.25`` to ``image_mse_t1`` of a log, for instance.
    """

    def __init__(self, errors: Sequence[float]) -> None:
        self.errors = tuple(_positive('errors', error) for error in errors)

    def __call__(self, u: Tensor, process: ADMProcess) -> Tensor:
        errors = torch.tensor(self.errors, dtype=torch.float64)
        # The distribution function is linear in each interval.
        ends = torch.cat([errors.new_zeros(1), errors.cumsum(0) / errors.sum()])
        ends[-1] = 1.0
        interval = torch.searchsorted(ends, u.double(), right=True) - 1
        interval = interval.clamp(max=len(errors) - 1)
        inside = (u - ends[interval]) / ends.diff()[interval]
        return ((interval + inside) / len(errors)).clamp(process.t_min, 1).to(u.dtype)


def _positive(name: str, value: float) -> float:
    if not value > 0:
        raise ValueError(
            f'The distribution of training times needs positive {name}, but got '
            f'{value}. Give a number above 0.'
        )
    return value
