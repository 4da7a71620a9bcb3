"""What the model is told about the image."""

from typing import Literal

import numpy as np
from mmcv.transforms import BaseTransform

from mmadm.registry import TRANSFORMS
from mmadm.utils import matlab_resize, resize

from .inference import InferenceCondition

_KERNELS = {
    'pillow': lambda picture, size: resize(picture, size, 'bicubic'),
    'matlab': matlab_resize,
}


@TRANSFORMS.register_module()
class BicubicCondition(BaseTransform):
    """Super-resolution: the condition is the image, bicubically reduced.

    With antialiasing, on 8 bits.

    Required keys: ``img``. Added keys: ``condition`` (H/scale, W/scale, 3).

    Args:
        scale: how many image pixels become one, in each direction.
        kernel: 'matlab' makes the low-resolution images of DIV2K and of published
            scores; 'pillow' is what ADM's authors use. A model that was trained with
            one loses accuracy with the other.
    """

    def __init__(
        self, scale: int = 4, kernel: Literal['pillow', 'matlab'] = 'pillow'
    ) -> None:
        if kernel not in _KERNELS:
            raise ValueError(
                f'Unknown kernel={kernel!r} of BicubicCondition. Use one of '
                f'{list(_KERNELS)}.'
            )
        self.scale = scale
        self.reduce = _KERNELS[kernel]

    def transform(self, results: dict) -> dict:
        """Add the condition.

        Raises:
            ValueError: the image cannot be divided by the scale.
        """
        height, width = results['img'].shape[:2]
        if height % self.scale or width % self.scale:
            raise ValueError(
                f'An image of {height}x{width} cannot be reduced by {self.scale}: '
                f'{results.get("img_path")}. Put CropToMultiple(divisor={self.scale}) '
                'or a crop of such a size before BicubicCondition.'
            )
        size = (height // self.scale, width // self.scale)
        results['condition'] = self.reduce(results['img'], size)
        return results

    def for_inference(self, before: list) -> list:
        """The small image is given; what was done to the large one falls away."""
        return [InferenceCondition(self.scale)]


@TRANSFORMS.register_module()
class MaskedCondition(BaseTransform):
    """Inpainting: the condition is the image with its holes in black.

    As the authors' network sees it : 2 x - 1 of black is -1, and which
    pixels are holes it has to see for itself.

    Required keys: ``img``, ``mask``. Added keys: ``condition`` (H, W, 3).

    Args:
        with_mask: give the mask as a fourth channel, 255 = hole, so that black pixels
            are not taken for holes. The condition encoder then needs 4 channels.
    """

    def __init__(self, with_mask: bool = False) -> None:
        self.with_mask = with_mask

    def transform(self, results: dict) -> dict:
        """Add the condition."""
        condition = results['img'] * (1 - results['mask'])
        if self.with_mask:
            condition = np.concatenate([condition, results['mask'] * 255], axis=2)
        results['condition'] = condition
        return results
