"""Non-leaking augmentation: the network gets the parameters as labels."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor

from mmadm.registry import MODELS
from mmadm.utils import SampleNoise

# The orthonormal low-pass filter of the Symlet with 12 taps: upsampling by it and then
# downsampling restores the image.
_SYM6 = (
    *(0.015404109327027373, 0.0034907120842174702, -0.11799011114819057),
    *(-0.048311742585633, 0.4910559419267466, 0.787641141030194),
    *(0.3379294217276218, -0.07263752278646252, -0.021060292512300564),
    *(0.04472490177066578, 0.0017677118642428036, -0.007800708325034148),
)
_REACH = len(_SYM6) // 2
_CENTRE = _REACH - 1
# The filter is not quite symmetric: it shifts the image by so many fine pixels.
_LAG = _CENTRE + 0.5 - sum(i * tap for i, tap in enumerate(_SYM6)) / sum(_SYM6)


@MODELS.register_module()
class LabelledAugmentation(BaseModule):
    """Random flips, scaling, rotation, stretch and shift, with nine labels.

    The augmentation of EDM (Karras et al. 2022, Appendix F.2), which the authors use
    for CIFAR-10. The head gets the labels in training (its ``augment_dim`` is
    ``num_labels``) and none in sampling, so samples are not augmented.

    The labels: x-flip, y-flip, scale, cos - 1 and sin of the rotation, two components
    of the stretch, shift in x and y; scale, stretch and shift in standard deviations.

    Args:
        probability: of each of y-flip, scaling, rotation, stretch and shift. The x-flip
            has 1/2.
        scale_std: standard deviation of log2 of the scale.
        stretch_std: standard deviation of log2 of the stretch, in a random direction.
        shift_std: standard deviation of the shift, in sides of the image.
    """

    num_labels = 9

    def __init__(
        self,
        probability: float = 0.12,
        scale_std: float = 0.2,
        stretch_std: float = 0.2,
        shift_std: float = 0.125,
    ) -> None:
        super().__init__()
        if not 0 <= probability <= 1:
            raise ValueError(
                f'A probability is between 0 and 1, but probability={probability}. '
                'The authors use 0.12 and 0.15.'
            )
        self.probability = probability
        self.scale_std = scale_std
        self.stretch_std = stretch_std
        self.shift_std = shift_std

    def forward(self, images: Tensor, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Augment each image by its own seed.

        Args:
            images: (N, C, H, W).
            seeds: one per image.

        Returns:
            images, shaped alike, and labels (N, 9).
        """
        noise = SampleNoise(seeds, (4,), dtype=images.dtype)
        x_flip = noise.uniform() < 0.5
        y_flip, *happens = (noise.uniform() < self.probability for _ in range(5))
        angles = [(2 * noise.uniform() - 1) * math.pi for _ in range(2)]
        zero = torch.zeros(())
        scale, stretch, *shift = noise().unbind(1)
        scale = torch.where(happens[0], scale, zero)
        rotation = torch.where(happens[1], angles[0], zero)
        stretch = torch.where(happens[2], stretch, zero)
        shift = torch.where(happens[3][:, None], torch.stack(shift, 1), zero)

        direction = angles[1]
        to_input = (
            _scaling(-self.scale_std * scale, -self.scale_std * scale)
            @ _rotation(rotation)
            @ _rotation(-direction)
            @ _scaling(-self.stretch_std * stretch, self.stretch_std * stretch)
            @ _rotation(direction)
        )
        images = _flip(_flip(images, x_flip, -1), y_flip, -2)
        moved = torch.stack(happens).any(0).nonzero().flatten()
        if len(moved):
            warped = self._warp(
                images[moved], to_input[moved], self.shift_std * shift[moved]
            )
            images = images.index_copy(0, moved.to(images.device), warped)

        labels = [x_flip, y_flip, scale, rotation.cos() - 1, rotation.sin()]
        # By the doubled angle, as narrower along x is wider along y. EDM's single one
        # gives the same label to both.
        labels += [stretch * (2 * direction).cos(), stretch * (2 * direction).sin()]
        labels += shift.T
        return images, torch.stack(labels, dim=1).to(images)

    def _warp(self, images: Tensor, to_input: Tensor, shift: Tensor) -> Tensor:
        """Move pixels: the output at p is the input at A (p - shift).

        Works at twice the resolution, so that bilinear interpolation does not blur.
        Beyond its border the image is mirrored.

        Args:
            images: (N, C, H, W).
            to_input: A, (N, 2, 2), for (x, y) from the centre.
            shift: (N, 2), (x, y) in sides of the image.
        """
        size = torch.tensor(images.shape[:-3:-1])  # (W, H): half of the fine sides
        frame = size + 2 * _REACH
        columns, rows = (torch.arange(2 * side) + 0.5 - side for side in frame.tolist())
        y, x = torch.meshgrid(rows + _LAG, columns + _LAG, indexing='ij')
        place = torch.stack([x, y], dim=-1) - (2 * size * shift)[:, None, None]
        place = place @ to_input.mT[:, None]
        place = size - ((place + size) % (4 * size) - 2 * size).abs()  # mirrored

        grid = ((place - _LAG) / frame).to(images)
        fine = self._double(_framed(images))
        warped = F.grid_sample(fine, grid, align_corners=False)
        return self._halve(warped)[..., _REACH:-_REACH, _REACH:-_REACH]

    def _double(self, images: Tensor) -> Tensor:
        channels = images.shape[1]
        kernel = self._kernel(images).expand(channels, 1, -1, -1)
        return 2 * F.conv_transpose2d(
            images, kernel, stride=2, padding=_CENTRE, groups=channels
        )

    def _halve(self, images: Tensor) -> Tensor:
        channels = images.shape[1]
        kernel = self._kernel(images).expand(channels, 1, -1, -1)
        return F.conv2d(images, kernel / 2, stride=2, padding=_CENTRE, groups=channels)

    def _kernel(self, images: Tensor) -> Tensor:
        taps = torch.tensor(_SYM6).to(images)
        return torch.outer(taps, taps)


def _rotation(angle: Tensor) -> Tensor:
    """(N,) to (N, 2, 2), for (x, y)."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([cos, -sin, sin, cos], dim=-1).unflatten(-1, (2, 2))


def _scaling(x: Tensor, y: Tensor) -> Tensor:
    """log2 of two factors, (N,) each, to (N, 2, 2)."""
    return torch.diag_embed(torch.stack([x, y], dim=-1).exp2())


def _flip(images: Tensor, chosen: Tensor, dim: int) -> Tensor:
    """Mirror the images that are ``chosen``, (N,)."""
    return torch.where(
        chosen.view(-1, 1, 1, 1).to(images.device), images.flip(dim), images
    )


def _framed(images: Tensor) -> Tensor:
    """Pad the images by reflection, as far as the filter reaches."""
    for dim in (-1, -2):
        first, last = (
            images.narrow(dim, 0, _REACH),
            images.flip(dim).narrow(dim, 0, _REACH),
        )
        images = torch.cat([first.flip(dim), images, last], dim)
    return images
