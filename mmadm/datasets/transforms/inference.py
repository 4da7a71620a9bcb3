"""Transforms that replace others where there is no ground truth."""

import logging

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.logging import print_log

from mmadm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class InferenceCondition(BaseTransform):
    """Takes the input image as the condition, such as the small image to be enlarged.

    Required keys: ``img``. Added keys: ``condition``, the image; ``img`` becomes a
    black image of the output's size.

    Args:
        scale: how many pixels of the output there are for one pixel of the input, in
            each direction.
    """

    def __init__(self, scale: int) -> None:
        self.scale = scale

    def transform(self, results: dict) -> dict:
        """Set the condition and the size of the output."""
        image = results['condition'] = results['img']
        height, width, channels = image.shape
        size = (height * self.scale, width * self.scale, channels)
        results['img'] = np.zeros(size, np.uint8)
        return results


@TRANSFORMS.register_module()
class InferenceMask(BaseTransform):
    """Takes the mask that the user gives, instead of drawing one.

    An empty mask, or one that covers the whole image, is reported by a warning.

    Required keys: ``img``; ``mask`` (H, W), bool. Changed keys: ``mask`` (H, W, 1),
    uint8, 1 = hole.
    """

    def __init__(self) -> None:
        self._reported: set[str] = set()

    def transform(self, results: dict) -> dict:
        """Check the mask.

        Raises:
            ValueError: there is no mask, or its size is not that of the image.
        """
        name = results['name']
        if 'mask' not in results:
            raise ValueError(
                f'This model is for inpainting, but there is no mask for the image '
                f'{name}. Give a mask of its size, white where the hole is.'
            )
        mask = check_mask(results)
        if mask.all() or not mask.any():
            self._report(name, 'the whole image' if mask.all() else 'nothing')
        results['mask'] = mask.astype(np.uint8)[..., None]
        return results

    def _report(self, name: str, covered: str) -> None:
        """Warn once of each image, which may be read several times."""
        if name not in self._reported:
            self._reported.add(name)
            print_log(
                f'The mask of {name} covers {covered}. White (255, or 1) is the hole.',
                'current',
                logging.WARNING,
            )


def check_mask(results: dict) -> np.ndarray:
    """The mask of the user, (H, W).

    Raises:
        ValueError: its size is not that of the image.
    """
    mask, size = results['mask'], results['img'].shape[:2]
    if mask.shape != size:
        raise ValueError(
            f'Image and mask of different size: {results["name"]} is '
            f'{size[0]}x{size[1]}, its mask is {"x".join(map(str, mask.shape))}. Give '
            'a mask of the size of this image.'
        )
    return mask
