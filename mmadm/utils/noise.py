"""Random numbers that depend on the sample, not on the batch."""

from collections.abc import Sequence

import torch
from torch import Tensor


class SampleNoise:
    """Random numbers from one stream per sample.

    They are drawn on the CPU, so that sample i gets the same numbers for any batch
    size, number of ranks and device.

    Args:
        seeds: one per sample.
        shape: shape of one sample, (C, H, W), where a call does not give its own.
        device: where the noise is needed.
        dtype: precision of the noise; float32 where the device has no float64.
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
        self.device = torch.device(device)
        self.dtype = dtype

    def __call__(self, shape: Sequence[int] | None = None) -> Tensor:
        """The next standard normal noise, (N, C, H, W)."""
        shape = self.shape if shape is None else tuple(shape)
        noise = [
            torch.randn(shape, generator=generator, dtype=self.dtype)
            for generator in self.generators
        ]
        # Apple's GPUs have no float64.
        lacks_double = self.device.type == 'mps' and self.dtype == torch.float64
        dtype = torch.float32 if lacks_double else self.dtype
        return torch.stack(noise).to(self.device, dtype)

    def uniform(self) -> Tensor:
        """The next number in [0, 1) of each sample, (N,), on the CPU."""
        numbers = [
            torch.rand((), generator=g, dtype=self.dtype) for g in self.generators
        ]
        return torch.stack(numbers)
