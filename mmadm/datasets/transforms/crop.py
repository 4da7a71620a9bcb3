"""Crops image and map together."""

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform

from mmadm.registry import TRANSFORMS


def check_pair(results: dict) -> None:
    """Check that image and map have one size before they are cropped or resized.

    Raises:
        ValueError: their sizes differ.
    """
    image, map_ = results['img'], results.get('gt_seg_map')
    if map_ is not None and map_.shape[:2] != image.shape[:2]:
        raise ValueError(
            f'Image and map of different size: {results.get("img_path")} is '
            f'{_size(image)}, {results.get("seg_map_path", "its map")} is '
            f'{_size(map_)}. Correct or remove the pair.'
        )


def _size(array: np.ndarray) -> str:
    return 'x'.join(map(str, array.shape[:2]))


def crop(results: dict, top: int, left: int, height: int, width: int) -> dict:
    """Crop the window from ``img`` and ``gt_seg_map``."""
    check_pair(results)
    for key in ('img', 'gt_seg_map'):
        if key in results:
            results[key] = results[key][top : top + height, left : left + width]
    results['img_shape'] = (height, width)
    return results


@TRANSFORMS.register_module()
class RandomCrop(BaseTransform):
    """Crops a window of fixed size at a random position.

    Args:
        size: (H, W) of the window, or one number for both.
    """

    def __init__(self, size: int | Sequence[int]) -> None:
        self.size = (size, size) if isinstance(size, int) else tuple(size)

    def transform(self, results: dict) -> dict:
        """Crop ``img`` and ``gt_seg_map``.

        Raises:
            ValueError: the image is smaller than the window.
        """
        height, width = results['img'].shape[:2]
        if height < self.size[0] or width < self.size[1]:
            raise ValueError(
                f'Image smaller than the crop: {results.get("img_path")} is '
                f'{height}x{width}, the crop {self.size[0]}x{self.size[1]}. Remove '
                'the image, resize it before the crop, or crop less.'
            )
        top = np.random.randint(height - self.size[0] + 1)
        left = np.random.randint(width - self.size[1] + 1)
        return crop(results, top, left, *self.size)


@TRANSFORMS.register_module()
class CropToMultiple(BaseTransform):
    """Crops bottom and right, so that both sides are multiples of ``divisor``.

    Args:
        divisor: for super-resolution, the scale.
    """

    def __init__(self, divisor: int) -> None:
        self.divisor = divisor

    def transform(self, results: dict) -> dict:
        """Crop ``img`` and ``gt_seg_map``."""
        height, width = (
            side - side % self.divisor for side in results['img'].shape[:2]
        )
        return crop(results, 0, 0, height, width)
