"""From files to arrays."""

import functools
from typing import Literal

from mmcv.transforms import BaseTransform

from mmadm.registry import TRANSFORMS
from mmadm.utils.images import read_image


@TRANSFORMS.register_module()
class LoadImages(BaseTransform):
    """Read ``img_path`` into ``img`` and, if there is one, the map of a pair.

    Required keys: ``img_path``, optionally ``seg_map_path``. Added keys: ``img``
    (H, W, 3), uint8, RGB; ``gt_seg_map`` (H, W), or (H, W, 3) where the map is
    'color'; ``img_shape`` and ``ori_shape``, (H, W).

    Grey, palette and CMYK files are converted; orientation tags are obeyed.

    Args:
        map_color: what the maps are read as.
        cache: keep what was read in memory, for data sets of a few images.
    """

    def __init__(
        self,
        map_color: Literal['color', 'grayscale'] = 'grayscale',
        cache: bool = False,
    ) -> None:
        self.map_color = map_color
        self.read = functools.cache(read_image) if cache else read_image

    def transform(self, results: dict) -> dict:
        """Add the arrays."""
        results['img'] = self.read(results['img_path'], 'color')
        results['img_shape'] = results['ori_shape'] = results['img'].shape[:2]
        if 'seg_map_path' in results:
            path = results['seg_map_path']
            results['gt_seg_map'] = self.read(path, self.map_color)
        return results

    def for_inference(self, before: list) -> list:
        """What is given has been read."""
        return before
