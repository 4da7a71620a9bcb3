"""First stages without weights: the diffusion runs on pixels or on residuals."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmadm.registry import MODELS

#: (C, h, w) -> standard normal noise (N, C, h, w), from each sample's own stream.
Draw = Callable[[tuple[int, ...]], Tensor]


@MODELS.register_module()
class PixelStage(nn.Module):
    """First stage of raw pixels: the diffusion runs on the image itself.

    Args:
        patch: the pixels of a patch of this side become the channels of one position.
            This is lossless, and makes the head ``patch**2`` times cheaper; the head
            then has ``patch**2`` times the image's channels.
        gain: scale of the image relative to the noise. With small values the noise
            hides the image at most times, so samples of few steps stay near the mean of
            all possible images (lower error); large values let the sampler choose
            details. ``sigma_data`` of the preconditioner is then ``gain`` times the
            standard deviation of the data, and ``clip`` of the sampler is ``gain``.
    """

    def __init__(self, patch: int = 1, gain: float = 1.0) -> None:
        super().__init__()
        if not gain > 0:
            raise ValueError(
                f'The gain of {type(self).__name__} must be positive, but gain={gain}. '
                'Give 1, less for smoother predictions or more for more detail.'
            )
        self.gain = gain
        #: Pixels per position of the diffused state, in each direction.
        self.factor = patch

    def encode(
        self, image: Tensor, condition: Tensor | None, draw: Draw | None = None
    ) -> Tensor:
        """Image (N, C, H, W), [-1, 1], to the diffused state; nothing is drawn."""
        return F.pixel_unshuffle(self.gain * image, self.factor)

    def decode(self, latent: Tensor, condition: Tensor | None) -> Tensor:
        """A sampled state to an image (N, C, H, W), [-1, 1]."""
        return F.pixel_shuffle(latent, self.factor) / self.gain


@MODELS.register_module()
class ResidualStage(PixelStage):
    """First stage of residuals: the diffusion runs on image - resized condition.

    For restoration tasks, where the condition is a degraded version of the image: the
    network need not learn to reproduce it. The condition is in [-1, 1] and is resized
    bicubically to the image's size. Its first channels are those of the image; further
    ones, such as a mask, are for the condition encoder only.

    Args:
        patch: see :class:`PixelStage`.
        gain: see :class:`PixelStage`; scale of the residual.
    """

    #: :class:`mmadm.models.ADM` then requires conditions in [-1, 1].
    adds_condition = True

    def encode(
        self, image: Tensor, condition: Tensor, draw: Draw | None = None
    ) -> Tensor:
        """Image and condition to their scaled difference.

        Raises:
            ValueError: the condition has fewer channels than the image.
        """
        residual = image - _enlarged(condition, image)
        return super().encode(residual, condition)

    def decode(self, latent: Tensor, condition: Tensor) -> Tensor:
        """The scaled difference and the condition to the image."""
        residual = super().decode(latent, condition)
        return _enlarged(condition, residual) + residual


@MODELS.register_module()
class VelocityStage(PixelStage):
    """First stage of raw pixels with a velocity of zero, the further channels (CLD).

    The head has twice the image's channels as input. The arguments are those of
    :class:`PixelStage`.
    """

    def encode(
        self, image: Tensor, condition: Tensor | None, draw: Draw | None = None
    ) -> Tensor:
        """Image (N, C, H, W), [-1, 1], to image and velocity (N, 2C, H, W)."""
        position = super().encode(image, condition)
        return torch.cat([position, torch.zeros_like(position)], 1)

    def decode(self, latent: Tensor, condition: Tensor | None) -> Tensor:
        """The image of a sampled state; its velocity is dropped."""
        return super().decode(latent.chunk(2, 1)[0], condition)


def _enlarged(condition: Tensor, image: Tensor) -> Tensor:
    channels = image.shape[1]
    if condition.shape[1] < channels:
        raise ValueError(
            f'ResidualStage adds the condition to the image, but the condition has '
            f'{condition.shape[1]} channels and the image {channels}. Pack a condition '
            'whose first channels are those of the image, or use PixelStage.'
        )
    return F.interpolate(condition[:, :channels], image.shape[-2:], mode='bicubic')
