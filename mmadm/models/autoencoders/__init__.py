"""First stages: from images to the space of the diffusion, and back."""

from .kl import KLAutoencoder
from .pixel import Draw, PixelStage, ResidualStage, VelocityStage
from .taesd import TinyAutoencoderStage

__all__ = [
    'Draw',
    'KLAutoencoder',
    'PixelStage',
    'ResidualStage',
    'TinyAutoencoderStage',
    'VelocityStage',
]
