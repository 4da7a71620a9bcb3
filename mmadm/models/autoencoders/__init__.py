"""First stages: the space in which the diffusion runs."""

from .kl import KLAutoencoder
from .pixel import Draw, PixelStage, ResidualStage
from .taesd import TinyAutoencoderStage

__all__ = [
    'Draw',
    'KLAutoencoder',
    'PixelStage',
    'ResidualStage',
    'TinyAutoencoderStage',
]
