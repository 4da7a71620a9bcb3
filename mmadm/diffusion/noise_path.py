"""Noise paths: the standard deviation of the noise as a function of time."""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from mmadm.registry import MODELS


class NoisePath(ABC):
    """Base class of noise paths: standard deviation b(t) of the noise in ``x_t``.

    It rises from b(0) = 0 to b(1), which is 1 where the image fades, and much larger
    than the image with :class:`NoAttenuation`.
    """

    @abstractmethod
    def std(self, t: Tensor) -> Tensor:
        """b(t)."""

    @abstractmethod
    def time(self, std: Tensor) -> Tensor:
        """The time at which b(t) = ``std``, for 0 <= std <= b(1)."""

    @abstractmethod
    def variance_rate(self, t: Tensor) -> Tensor:
        """d b^2(t) / dt, the variance that the forward process adds per time."""


@MODELS.register_module()
class WienerNoise(NoisePath):
    """``b(t) = sqrt(t)``: the standard Wiener process of Eq. (6)."""

    def std(self, t: Tensor) -> Tensor:
        return torch.sqrt(t)

    def time(self, std: Tensor) -> Tensor:
        return std**2

    def variance_rate(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)


@MODELS.register_module()
class LinearNoise(NoisePath):
    """``b(t) = std_1 t``.

    Args:
        std_1: b(1). 1 is the path of the authors' later configs and of rectified flow;
            80 that of EDM.
    """

    def __init__(self, std_1: float = 1.0) -> None:
        self.std_1 = std_1

    def std(self, t: Tensor) -> Tensor:
        return self.std_1 * t

    def time(self, std: Tensor) -> Tensor:
        return std / self.std_1

    def variance_rate(self, t: Tensor) -> Tensor:
        return 2 * self.std_1**2 * t


@MODELS.register_module()
class ExponentialNoise(NoisePath):
    """``b^2(t) = std_0^2 ((std_1 / std_0)^(2t) - 1)``: the variance-exploding SDE.

    Song et al. (2021) leave out the ``- 1``, which makes ``b(0) = 0`` and is negligible
    where b(t) is much larger than ``std_0``; the SDE is theirs.

    Args:
        std_0: smallest level of their geometric sequence.
        std_1: the largest one, about the largest distance of two images.
    """

    def __init__(self, std_0: float = 0.01, std_1: float = 50.0) -> None:
        self.std_0 = std_0
        self.growth = 2 * math.log(std_1 / std_0)

    def std(self, t: Tensor) -> Tensor:
        return self.std_0 * torch.expm1(self.growth * t).sqrt()

    def time(self, std: Tensor) -> Tensor:
        return torch.log1p((std / self.std_0) ** 2) / self.growth

    def variance_rate(self, t: Tensor) -> Tensor:
        return self.std_0**2 * self.growth * torch.exp(self.growth * t)
