"""From files to arrays."""

import functools
from pathlib import Path
from typing import Literal

import numpy as np
from mmcv.transforms import BaseTransform
from PIL import Image, ImageOps

from mmadm.registry import TRANSFORMS
from mmadm.utils.images import FORMATS, is_deep

_PILLOW_MODES = {'color': 'RGB', 'grayscale': 'L'}


class BrokenImageError(ValueError):
    """An image file that is there and cannot be read, or is there no longer.

    In training the data set puts another image in its place.
    """


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

    def without_truth(self, before: list) -> list:
        """What is given has been read."""
        return before


def read_image(path: str, color: Literal['color', 'grayscale']) -> np.ndarray:
    """An 8-bit image file as (H, W, 3) RGB or (H, W), uint8.

    Raises:
        BrokenImageError: the file is broken or missing.
        ValueError: it has more than 8 bits per channel.
    """
    if not Path(path).is_file():
        raise BrokenImageError(
            f'Image not found: {path}. It was there when the data set was listed; '
            'restore it or start again.'
        )
    try:
        with Image.open(path, formats=FORMATS) as image:
            deep = is_deep(image)
            image.load()
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise BrokenImageError(
            f'Broken image file: {path} ({error}). Replace or remove it.'
        ) from error
    if deep:
        raise ValueError(
            f'Image with more than 8 bits per channel: {path} (mode {image.mode}). '
            'Convert it to 8 bits first, so that its range is chosen by you.'
        )
    return np.array(ImageOps.exif_transpose(image).convert(_PILLOW_MODES[color]))
