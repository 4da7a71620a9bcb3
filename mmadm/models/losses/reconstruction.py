"""The first stage's reconstruction loss and KL divergence."""

import torch
from torch import Tensor, nn

from mmadm.registry import MODELS
from mmadm.utils.perceptual import build_lpips


@MODELS.register_module()
class ReconstructionLoss(nn.Module):
    """Loss of a reconstruction: ``|x - y| + (x - y)^2 + w LPIPS(x, y)`` per pixel.

    Args:
        lpips_weight: w; 0 for no LPIPS, which then needs no file.
        lpips_network: 'vgg' (latent diffusion's), 'alex' or 'squeeze'.
        lpips_weights: file of the network, see
            :func:`mmadm.utils.perceptual.build_lpips`.
    """

    def __init__(
        self,
        lpips_weight: float = 1.0,
        lpips_network: str = 'vgg',
        lpips_weights: str | None = None,
    ) -> None:
        super().__init__()
        self.lpips_weight = lpips_weight
        self.lpips = build_lpips(lpips_weights, lpips_network) if lpips_weight else None
        # Log-variance of the image given the code; a constant, as in latent diffusion.
        self.logvar = nn.Parameter(torch.zeros(()), requires_grad=False)

    def forward(self, image: Tensor, reconstruction: Tensor) -> Tensor:
        """Both (N, C, H, W), [-1, 1], to (N, C, H, W); LPIPS is added to each pixel."""
        error = image - reconstruction
        distance = error.abs() + error**2
        if self.lpips is not None:
            distance = distance + self.lpips_weight * self.lpips(image, reconstruction)
        return distance

    def negative_log_likelihood(self, distance: Tensor) -> Tensor:
        """``sum(distance / e^logvar + logvar) / N``, one number."""
        return (distance / self.logvar.exp() + self.logvar).sum() / len(distance)


def kl_divergence(moments: Tensor) -> Tensor:
    """KL divergence of the posterior from the standard normal distribution.

    Args:
        moments: mean and log-variance, (N, 2 Z, h, w).

    Returns:
        ``sum(mean^2 + variance - 1 - log variance) / 2`` of each image, (N,).
    """
    mean, logvar = moments.float().chunk(2, dim=1)
    return (mean**2 + logvar.exp() - 1 - logvar).flatten(1).sum(1) / 2
