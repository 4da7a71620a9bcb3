"""Resizes image and map, with the antialiased filters of Pillow."""

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform

from mmadm.registry import TRANSFORMS
from mmadm.utils import resize

from .crop import check_pair, crop
from .inference import check_mask


@TRANSFORMS.register_module()
class ResizeTo(BaseTransform):
    """Resizes image and map to one size, without keeping their aspect ratio.

    Both bilinear, as in the authors' code for saliency: the borders of the map become
    grey. The mask of a user, for inpainting, by nearest neighbour.

    Args:
        size: (H, W).
    """

    def __init__(self, size: Sequence[int]) -> None:
        self.size = tuple(size)

    def transform(self, results: dict) -> dict:
        """Resize ``img``, ``gt_seg_map`` and ``mask``."""
        check_pair(results)
        if 'mask' in results:
            check_mask(results)
            mask = results['mask'].astype(np.uint8)
            results['mask'] = resize(mask, self.size, 'nearest').astype(bool)
        for key in ('img', 'gt_seg_map'):
            if key in results:
                results[key] = resize(results[key], self.size, 'bilinear')
        results['img_shape'] = self.size
        return results


@TRANSFORMS.register_module()
class ResizeInput(BaseTransform):
    """Resizes the image only, for tests; the ground truth keeps its size.

    The prediction has the size of the image; scoring enlarges it to the ground truth.

    Added keys: ``target_shape``.

    Args:
        size: (H, W) of the image that the network sees.
    """

    def __init__(self, size: Sequence[int]) -> None:
        self.size = tuple(size)

    def transform(self, results: dict) -> dict:
        """Resize ``img``."""
        check_pair(results)
        results['img'] = resize(results['img'], self.size, 'bilinear')
        results['img_shape'] = results['target_shape'] = self.size
        return results


@TRANSFORMS.register_module()
class RandomResizedCrop(BaseTransform):
    """Crops a window of random area and aspect ratio, and resizes it.

    The image bilinear; the map by nearest neighbour, so that it keeps its values.

    Args:
        size: (H, W) of the result.
        scale: smallest and largest fraction of the area.
        ratio: smallest and largest width / height of the window.
    """

    def __init__(
        self,
        size: Sequence[int],
        scale: Sequence[float] = (0.25, 1.0),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
    ) -> None:
        self.size = tuple(size)
        self.scale = tuple(scale)
        self.ratio = tuple(ratio)

    def transform(self, results: dict) -> dict:
        """Crop and resize ``img`` and ``gt_seg_map``."""
        check_pair(results)
        height, width = self._window(*results['img'].shape[:2])
        top = np.random.randint(results['img'].shape[0] - height + 1)
        left = np.random.randint(results['img'].shape[1] - width + 1)
        results = crop(results, top, left, height, width)

        results['img'] = resize(results['img'], self.size, 'bilinear')
        if 'gt_seg_map' in results:
            results['gt_seg_map'] = resize(results['gt_seg_map'], self.size, 'nearest')
        results['img_shape'] = self.size
        return results

    def _window(self, height: int, width: int) -> tuple[int, int]:
        """(H, W) of a window that fits; after ten failed draws, the largest allowed."""
        for _ in range(10):
            area = np.random.uniform(*self.scale) * height * width
            ratio = np.exp(np.random.uniform(*np.log(self.ratio)))
            window = round((area / ratio) ** 0.5), round((area * ratio) ** 0.5)
            if 0 < window[0] <= height and 0 < window[1] <= width:
                return window
        ratio = np.clip(width / height, *self.ratio)
        return min(height, round(width / ratio)), min(width, round(height * ratio))
