"""Transforms that build the condition from the image."""

from typing import Literal

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmadm.registry import TRANSFORMS
from mmadm.utils import matlab_resize, resize

from .inference import InferenceCondition


def _pillow_bicubic(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return resize(image, size, 'bicubic')


_KERNELS = {'pillow': _pillow_bicubic, 'matlab': matlab_resize}


@TRANSFORMS.register_module()
class BicubicCondition(BaseTransform):
    """Condition for super-resolution: the image, bicubically reduced.

    With antialiasing, rounded to 8 bits. Transforms that change ``img`` have to come
    before it.

    Required keys: ``img``. Added keys: ``condition`` (H/scale, W/scale, 3).

    Args:
        scale: how many image pixels become one, in each direction.
        kernel: 'matlab' produces the low-resolution images of DIV2K and of published
            scores; 'pillow' is used by the authors of ADM. A model that was trained
            with one loses accuracy with the other.
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
        return set_condition(results, self.reduce(results['img'], size))

    def for_inference(self, before: list) -> list:
        """The input is already reduced: nothing is done to the large image."""
        return [InferenceCondition(self.scale)]


@TRANSFORMS.register_module()
class MaskedCondition(BaseTransform):
    """Condition for inpainting: the image with its holes filled.

    Transforms that change ``img`` have to come before it.

    Required keys: ``img``, ``mask``. Added keys: ``condition`` (H, W, 3).

    Args:
        with_mask: add the mask as a fourth channel, 255 = hole, so that the network
            need not recognise holes by itself. The condition encoder then needs 4
            channels.
        fill: 'black' as in the authors' code; 'telea' continues the colours around a
            hole into it (Telea, 2004; OpenCV), from which
            :class:`~mmadm.models.ResidualStage` has little left to change.
    """

    def __init__(
        self, with_mask: bool = False, fill: Literal['black', 'telea'] = 'black'
    ) -> None:
        if fill not in _FILLS:
            raise ValueError(
                f'Unknown fill={fill!r} of MaskedCondition. Use one of {list(_FILLS)}.'
            )
        self.with_mask = with_mask
        self.fill = _FILLS[fill]

    def transform(self, results: dict) -> dict:
        """Add the condition."""
        condition = self.fill(results['img'], results['mask'])
        if self.with_mask:
            condition = np.concatenate([condition, results['mask'] * 255], axis=2)
        return set_condition(results, condition)


def _black(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return image * (1 - mask)


def _telea(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    # From black, so that nothing of the hole is used, not even where it is all.
    return cv2.inpaint(_black(image, mask), mask, 3, cv2.INPAINT_TELEA)


_FILLS = {'black': _black, 'telea': _telea}


def set_condition(results: dict, condition: np.ndarray) -> dict:
    """Add ``condition``, which was made from ``img``, and remember this image.

    :class:`~mmadm.datasets.transforms.PackDiffusionInputs` refuses results whose image
    was flipped, cropped or otherwise replaced afterwards: condition and image would no
    longer show the same.
    """
    results.update(condition=condition, condition_source=results['img'])
    return results
