"""First stages: the space in which the diffusion runs."""

from .pixel import PixelStage, ResidualStage

__all__ = ['PixelStage', 'ResidualStage']
