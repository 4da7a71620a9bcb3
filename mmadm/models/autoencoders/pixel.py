"""First stages without weights: the space in which the diffusion runs."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from mmadm.registry import MODELS

#: (C, h, w) -> standard normal noise (N, C, h, w), from each sample's own stream.
Draw = Callable[[tuple[int, ...]], Tensor]


@MODELS.register_module()
class PixelStage(nn.Module):
    """The diffusion runs on the pixels themselves.

    Args:
        patch: patches of this side become the channels of one position, which makes
            the head ``patch**2`` times cheaper and loses nothing; the head then has
            ``patch**2`` times the image's channels.
    """

    def __init__(self, patch: int = 1) -> None:
        super().__init__()
        #: Pixels per position of what is diffused, in each direction.
        self.factor = patch

    def encode(
        self, image: Tensor, condition: Tensor | None, draw: Draw | None = None
    ) -> Tensor:
        """Image (N, C, H, W), [-1, 1], to what is diffused; nothing is drawn."""
        return F.pixel_unshuffle(image, self.factor)

    def decode(self, latent: Tensor, condition: Tensor | None) -> Tensor:
        """What was sampled to an image (N, C, H, W), [-1, 1]."""
        return F.pixel_shuffle(latent, self.factor)


@MODELS.register_module()
class ResidualStage(PixelStage):
    """The diffusion runs on what the condition lacks: image - resized condition.

    For restoration tasks, where the condition is a poor version of the image: the
    network need not learn to repeat it. Expects a condition in [-1, 1] with the
    image's channels; it is resized bicubically to the image's size. The preconditioner
    wants the standard deviation of ``gain`` times the residual as ``sigma_data``.

    Args:
        patch: see :class:`PixelStage`.
        gain: how strong the residual is beside the noise. Small values keep answers of
            few steps near the mean of all that is possible (higher PSNR), large ones
            let the sampler choose details.
    """

    def __init__(self, patch: int = 1, gain: float = 1.0) -> None:
        super().__init__(patch)
        if not gain > 0:
            raise ValueError(
                f'The gain of ResidualStage must be positive, but gain={gain}. '
                'Give 1, less for smoother answers or more for more detail.'
            )
        self.gain = gain

    def encode(
        self, image: Tensor, condition: Tensor, draw: Draw | None = None
    ) -> Tensor:
        """Image and condition to their difference."""
        residual = image - _enlarged(condition, image)
        return super().encode(self.gain * residual, condition)

    def decode(self, latent: Tensor, condition: Tensor) -> Tensor:
        """The difference and the condition to the image."""
        residual = super().decode(latent, condition) / self.gain
        return _enlarged(condition, residual) + residual


def _enlarged(condition: Tensor, image: Tensor) -> Tensor:
    return F.interpolate(condition, image.shape[-2:], mode='bicubic')
