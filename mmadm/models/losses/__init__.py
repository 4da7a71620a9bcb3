"""Training objectives."""

from .adm_loss import ADMLoss, AuthorsLoss
from .adversarial import PatchDiscriminator, adaptive_weight, hinge_loss
from .reconstruction import ReconstructionLoss, kl_divergence

__all__ = [
    'ADMLoss',
    'AuthorsLoss',
    'PatchDiscriminator',
    'ReconstructionLoss',
    'adaptive_weight',
    'hinge_loss',
    'kl_divergence',
]
