"""Training objectives."""

from .adm_loss import ADMLoss

__all__ = ['ADMLoss']
