"""Training objectives."""

from .adm_loss import ADMLoss, AuthorsLoss

__all__ = ['ADMLoss', 'AuthorsLoss']
