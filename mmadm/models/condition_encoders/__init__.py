"""Condition encoders: an image to feature maps of several levels.

Any backbone of mmpretrain serves as well, by its scoped name: the paper's Swin-B is
``dict(type='mmpretrain.SwinTransformer', arch='base', out_indices=(0, 1, 2, 3),
pad_small_map=True)``.
"""

from .conv_encoder import ConvEncoder

__all__ = ['ConvEncoder']
