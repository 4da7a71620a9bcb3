"""Heads: from a noisy image, a time and condition features to phi and eps."""

from .fusion import ConcatFusion, CrossAttentionFusion
from .unet import ConvBranchUNet, DualDecoderUNet, SingleDecoderUNet

__all__ = [
    'ConcatFusion',
    'ConvBranchUNet',
    'CrossAttentionFusion',
    'DualDecoderUNet',
    'SingleDecoderUNet',
]
