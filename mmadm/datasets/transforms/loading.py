"""Loads image files into arrays."""

from collections.abc import Callable
from typing import Literal

import numpy as np
from mmcv.transforms import BaseTransform

from mmadm.registry import TRANSFORMS
from mmadm.utils.images import read_image, read_map


@TRANSFORMS.register_module()
class LoadImages(BaseTransform):
    """Reads ``img_path`` into ``img`` and, if there is one, the map of a pair.

    Required keys: ``img_path``, optionally ``seg_map_path``. Added keys: ``img``
    (H, W, 3), uint8, RGB; ``gt_seg_map`` (H, W), or (H, W, 3) where the map is
    'color'; ``img_shape`` and ``ori_shape``, (H, W).

    Args:
        map_color: 'grayscale' reads maps with :func:`~mmadm.utils.images.read_map`,
            'color' as images.
        cache: keep decoded images in memory, for datasets of a few images.
    """

    def __init__(
        self,
        map_color: Literal['color', 'grayscale'] = 'grayscale',
        cache: bool = False,
    ) -> None:
        self.map_color = map_color
        self._cached: dict[tuple, np.ndarray] | None = {} if cache else None

    def transform(self, results: dict) -> dict:
        """Add the arrays."""
        results['img'] = self._read(_read_colour, results['img_path'])
        results['img_shape'] = results['ori_shape'] = results['img'].shape[:2]
        if 'seg_map_path' in results:
            read = read_map if self.map_color == 'grayscale' else _read_colour
            results['gt_seg_map'] = self._read(read, results['seg_map_path'])
        return results

    def for_inference(self, before: list) -> list:
        """Nothing: the inference dataset has read the image."""
        return before

    def _read(self, read: Callable[[str], np.ndarray], path: str) -> np.ndarray:
        if self._cached is None:
            return read(path)
        if (read, path) not in self._cached:
            self._cached[read, path] = read(path)
        # A copy, so that a transform that works in place does not change the cache.
        return self._cached[read, path].copy()


def _read_colour(path: str) -> np.ndarray:
    return read_image(path, 'color')
