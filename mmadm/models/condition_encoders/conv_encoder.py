"""A small convolutional condition encoder."""

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmadm.registry import MODELS

from .backbone import check_condition


class _Stage(nn.Module):
    """Two convolutions; the first one may halve the resolution."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(in_channels, channels, 3, stride, padding=1)
        self.refine = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.GroupNorm(1, channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        return x + F.silu(self.norm(self.refine(F.silu(x))))


@MODELS.register_module()
class ConvEncoder(BaseModule):
    """Small convolutional encoder: features at strides 1, 2, 4, ..., any size.

    An alternative to Swin for small data sets and machines.

    Args:
        in_channels: channels of the condition.
        channels: width of each level.
        init_cfg: initialisation, for instance from a checkpoint.
    """

    def __init__(
        self,
        in_channels: int = 3,
        channels: Sequence[int] = (32, 64, 64, 64),
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.in_channels = in_channels
        #: Width of each level.
        self.out_channels = tuple(channels)
        widths = [in_channels, *channels]
        self.stages = nn.ModuleList(
            _Stage(widths[i], widths[i + 1], stride=1 if i == 0 else 2)
            for i in range(len(channels))
        )

    def forward(self, condition: Tensor) -> tuple[Tensor, ...]:
        """(N, C, H, W) to one map per level, shallow to deep.

        Raises:
            ValueError: the condition has other channels than the encoder.
        """
        check_condition(condition, self)
        return outputs_of(self.stages, condition)


def outputs_of(stages: nn.ModuleList, x: Tensor) -> tuple[Tensor, ...]:
    """What each stage makes of the output of the one before."""
    features = []
    for stage in stages:
        x = stage(x)
        features.append(x)
    return tuple(features)
