"""Condition encoders: networks from the condition to multi-level features."""

from .conv_encoder import ConvEncoder
from .residual_encoder import ResidualEncoder
from .resnet import ResNetEncoder
from .swin import SwinEncoder
from .timm_encoder import TimmEncoder

__all__ = [
    'ConvEncoder',
    'ResNetEncoder',
    'ResidualEncoder',
    'SwinEncoder',
    'TimmEncoder',
]
