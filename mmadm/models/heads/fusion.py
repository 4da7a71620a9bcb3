"""Fusion of condition features and head features (Sec. V-A, Fig. 4)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmadm.registry import MODELS

from .layers import attend, count_heads, group_norm, zero_init


@MODELS.register_module()
class ConcatFusion(nn.Module):
    """Fusion by concatenation: ``h + conv([h, features])``.

    Features of another resolution are resized bilinearly to that of ``h``.

    Args:
        channels: width of the head at this level.
        condition_channels: width of the condition's features at this level.
    """

    def __init__(self, channels: int, condition_channels: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels + condition_channels, channels, 1)

    def forward(self, h: Tensor, features: Tensor) -> Tensor:
        """(N, C, H, W) and (N, C', H', W') to (N, C, H, W)."""
        if features.shape[-2:] != h.shape[-2:]:
            size = h.shape[-2:]
            features = F.interpolate(features, size, mode='bilinear')
        return h + self.mix(torch.cat([h, features], dim=1))


@MODELS.register_module()
class CrossAttentionFusion(nn.Module):
    """Fusion by cross-attention: queries from the head, keys from the condition.

    Its cost grows with the product of both resolutions, so it suits the deep levels.

    Args:
        channels: width of the head at this level.
        condition_channels: width of the condition's features at this level.
        head_channels: width of one attention head.
    """

    def __init__(
        self, channels: int, condition_channels: int, head_channels: int = 64
    ) -> None:
        super().__init__()
        self.num_heads = count_heads(channels, head_channels)
        self.norm = group_norm(channels)
        self.query = nn.Conv2d(channels, channels, 1)
        self.key_value = nn.Conv2d(condition_channels, 2 * channels, 1)
        self.proj = zero_init(nn.Conv2d(channels, channels, 1))

    def forward(self, h: Tensor, features: Tensor) -> Tensor:
        """(N, C, H, W) and (N, C', H', W') to (N, C, H, W)."""
        k, v = self.key_value(features).chunk(2, dim=1)
        return h + self.proj(attend(self.query(self.norm(h)), k, v, self.num_heads))
