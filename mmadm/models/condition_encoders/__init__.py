"""Condition encoders: an image to feature maps of several levels."""

from .conv_encoder import ConvEncoder
from .resnet import ResNetEncoder
from .swin import SwinEncoder

__all__ = ['ConvEncoder', 'ResNetEncoder', 'SwinEncoder']
