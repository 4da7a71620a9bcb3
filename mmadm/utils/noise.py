"""Noise that belongs to a sample, not to a batch."""

from collections.abc import Sequence

import torch
from torch import Tensor


class SampleNoise:
    """Standard normal noise from one random stream per sample.

    Drawn on the CPU in float64, so that sample i is the same picture whatever the batch
    size, the number of ranks and the device.

    Args:
        seeds: one per sample.
        shape: shape of one sample, (C, H, W).
        device: where the noise is needed.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        shape: Sequence[int],
        device: torch.device | str = 'cpu',
    ) -> None:
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.shape = tuple(shape)
        self.device = device

    def __call__(self) -> Tensor:
        """The next noise, (N, C, H, W), float64."""
        noise = [
            torch.randn(self.shape, generator=generator, dtype=torch.float64)
            for generator in self.generators
        ]
        return torch.stack(noise).to(self.device)
