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
        gain: how strong the image is beside the noise. With small values the noise
            hides the image at most times, so that predictions of few steps stay near
            the mean of all that is possible (lower error); larger ones let the sampler
            choose details. The preconditioner needs the standard deviation of what is
            diffused, ``gain`` times that of the data, as ``sigma_data``, and the
            sampler ``clip=gain``.
    """

    def __init__(self, patch: int = 1, gain: float = 1.0) -> None:
        super().__init__()
        if not gain > 0:
            raise ValueError(
                f'The gain of {type(self).__name__} must be positive, but gain={gain}. '
                'Give 1, less for smoother predictions or more for more detail.'
            )
        self.gain = gain
        #: Pixels per position of what is diffused, in each direction.
        self.factor = patch

    def encode(
        self, image: Tensor, condition: Tensor | None, draw: Draw | None = None
    ) -> Tensor:
        """Image (N, C, H, W), [-1, 1], to what is diffused; nothing is drawn."""
        return F.pixel_unshuffle(self.gain * image, self.factor)

    def decode(self, latent: Tensor, condition: Tensor | None) -> Tensor:
        """What was sampled to an image (N, C, H, W), [-1, 1]."""
        return F.pixel_shuffle(latent, self.factor) / self.gain


@MODELS.register_module()
class ResidualStage(PixelStage):
    """The diffusion runs on what the condition lacks: image - resized condition.

    For restoration tasks, where the condition is a poor version of the image: the
    network need not learn to repeat it. Expects a condition in [-1, 1] with the
    image's channels; it is resized bicubically to the image's size.

    Args:
        patch: see :class:`PixelStage`.
        gain: see :class:`PixelStage`; of the residual.
    """

    def encode(
        self, image: Tensor, condition: Tensor, draw: Draw | None = None
    ) -> Tensor:
        """Image and condition to their difference."""
        residual = image - _enlarged(condition, image)
        return super().encode(residual, condition)

    def decode(self, latent: Tensor, condition: Tensor) -> Tensor:
        """The difference and the condition to the image."""
        residual = super().decode(latent, condition)
        return _enlarged(condition, residual) + residual


def _enlarged(condition: Tensor, image: Tensor) -> Tensor:
    return F.interpolate(condition, image.shape[-2:], mode='bicubic')
