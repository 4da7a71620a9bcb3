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
        dtype: precision in which the numbers are drawn.
        out_dtype: precision of the noise, for a device that does not have ``dtype``.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        shape: Sequence[int],
        device: torch.device | str = 'cpu',
        dtype: torch.dtype = torch.float64,
        out_dtype: torch.dtype | None = None,
    ) -> None:
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.shape = tuple(shape)
        self.device = torch.device(device)
        self.dtype = dtype
        self.out_dtype = dtype if out_dtype is None else out_dtype

    def __call__(self, shape: Sequence[int] | None = None) -> Tensor:
        """The next standard normal noise, (N, C, H, W)."""
        shape = self.shape if shape is None else tuple(shape)
        noise = [
            torch.randn(shape, generator=generator, dtype=self.dtype)
            for generator in self.generators
        ]
        return torch.stack(noise).to(self.out_dtype).to(self.device)

    def uniform(self) -> Tensor:
        """The next number in [0, 1) of each sample, (N,), on the CPU."""
        numbers = [
            torch.rand((), generator=g, dtype=self.dtype) for g in self.generators
        ]
        return torch.stack(numbers)
