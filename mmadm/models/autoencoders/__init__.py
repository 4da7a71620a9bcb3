"""First stages: the space in which the diffusion runs."""

from .kl import KLAutoencoder
from .pixel import Draw, PixelStage, ResidualStage

__all__ = ['Draw', 'KLAutoencoder', 'PixelStage', 'ResidualStage']
