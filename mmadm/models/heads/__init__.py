"""Heads: networks that predict phi and eps."""

from .fusion import ConcatFusion, CrossAttentionFusion
from .layers import SpatialAttention
from .local_unet import LocalDualDecoderUNet
from .ncsnpp import NCSNppUNet
from .relation_layers import FourierFilter
from .relation_unet import RelationUNet, SingleDecoderRelationUNet
from .unet import ConvBranchUNet, DualDecoderUNet, SingleDecoderUNet

__all__ = [
    'ConcatFusion',
    'ConvBranchUNet',
    'CrossAttentionFusion',
    'DualDecoderUNet',
    'FourierFilter',
    'LocalDualDecoderUNet',
    'NCSNppUNet',
    'RelationUNet',
    'SingleDecoderRelationUNet',
    'SingleDecoderUNet',
    'SpatialAttention',
]
