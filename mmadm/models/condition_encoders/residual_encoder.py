"""Convolutional condition encoder without normalisation, for restoration."""

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmadm.registry import MODELS

from .backbone import check_condition
from .conv_encoder import outputs_of


class _PlainBlock(nn.Module):
    """``x + conv(relu(conv(x)))``, the residual block of EDSR."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv1.weight)
        nn.init.zeros_(self.conv1.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv1(F.relu(self.conv0(x)))


@MODELS.register_module()
class ResidualEncoder(BaseModule):
    """Residual blocks without normalisation: features at strides 1, 2, 4, ...

    Lim et al., *Enhanced Deep Residual Networks for Single Image Super-Resolution*
    (EDSR). The receptive field is bounded, so that crops in training and whole images
    in testing are processed alike.

    Args:
        in_channels: channels of the condition.
        channels: width of each level.
        num_blocks: residual blocks of each level.
        init_cfg: initialisation, for instance from a checkpoint.
    """

    def __init__(
        self,
        in_channels: int = 3,
        channels: Sequence[int] = (64, 64),
        num_blocks: Sequence[int] = (8, 2),
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if len(channels) != len(num_blocks):
            raise ValueError(
                'Each level of ResidualEncoder has a width and a number of blocks, but '
                f'channels={tuple(channels)}, num_blocks={tuple(num_blocks)}. Give one '
                'of each per level.'
            )
        self.in_channels = in_channels
        #: Width of each level.
        self.out_channels = tuple(channels)
        widths = (in_channels, *channels)
        self.levels = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(widths[i], width, 3, stride=1 if i == 0 else 2, padding=1),
                *(_PlainBlock(width) for _ in range(count)),
            )
            for i, (width, count) in enumerate(zip(channels, num_blocks))
        )

    def forward(self, condition: Tensor) -> tuple[Tensor, ...]:
        """(N, C, H, W) to one map per level, shallow to deep.

        Raises:
            ValueError: the condition has other channels than the encoder.
        """
        check_condition(condition, self)
        return outputs_of(self.levels, condition)
