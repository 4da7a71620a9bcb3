"""Noise that belongs to a sample, not to a batch."""

from collections.abc import Sequence

import torch
from torch import Tensor


class SampleNoise:
    """Random numbers from one stream per sample.

    Drawn on the CPU, so that sample i is the same picture whatever the batch size, the
    number of ranks and the device.

    Args:
        seeds: one per sample.
        shape: shape of one sample, (C, H, W), where a call does not give its own.
        device: where the noise is needed.
        dtype: precision of the noise.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        shape: Sequence[int],
        device: torch.device | str = 'cpu',
        dtype: torch.dtype = torch.float64,
    ) -> None:
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.shape = tuple(shape)
        self.device = device
        self.dtype = dtype

    def __call__(self, shape: Sequence[int] | None = None) -> Tensor:
        """The next standard normal noise, (N, C, H, W)."""
        shape = self.shape if shape is None else tuple(shape)
        noise = [
            torch.randn(shape, generator=generator, dtype=self.dtype)
            for generator in self.generators
        ]
        return torch.stack(noise).to(self.device)

    def uniform(self) -> Tensor:
        """The next number in [0, 1) of each sample, (N,), on the CPU."""
        numbers = [
            torch.rand((), generator=g, dtype=self.dtype) for g in self.generators
        ]
        return torch.stack(numbers)
