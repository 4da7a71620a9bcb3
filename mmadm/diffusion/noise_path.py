"""Noise paths: the standard deviation of the noise as a function of time."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from mmadm.registry import MODELS


class NoisePath(ABC):
    """Base class of noise paths: standard deviation b(t) of the noise in ``x_t``.

    It rises from b(0) = 0 to b(1) = 1.
    """

    @abstractmethod
    def std(self, t: Tensor) -> Tensor:
        """b(t)."""

    @abstractmethod
    def time(self, std: Tensor) -> Tensor:
        """The time at which b(t) = ``std``, for 0 <= std <= 1."""

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
    """``b(t) = t``: the path of the authors' later configs."""

    def std(self, t: Tensor) -> Tensor:
        return t

    def time(self, std: Tensor) -> Tensor:
        return std

    def variance_rate(self, t: Tensor) -> Tensor:
        return 2 * t
