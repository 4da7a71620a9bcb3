"""8-bit pictures: arrays (H, W, 3) or (H, W), RGB; and tensors (C, H, W)."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

Filter = Literal['nearest', 'box', 'bilinear', 'bicubic', 'lanczos']


#: What pictures are read as, whatever their suffix. Pillow knows more: PostScript, for
#: one, it gives to Ghostscript to run.
FORMATS = ('PNG', 'JPEG', 'BMP', 'WEBP', 'TIFF', 'PPM')


def is_deep(image: Image.Image) -> bool:
    """Whether a file that was just opened has more than 8 bits per channel.

    Of 16-bit colours Pillow says 'RGB', and would silently keep the upper 8 bits; only
    the layout of the bytes in the file tells.
    """
    layouts = (str(tile[-1]) for tile in image.tile)
    return image.mode.startswith(('I', 'F')) or any(';16' in x for x in layouts)


def resize(picture: np.ndarray, size: Sequence[int], method: Filter) -> np.ndarray:
    """``picture`` at (H, W) with a filter of Pillow's.

    All filters but 'nearest' are antialiased where they reduce.
    """
    height, width = size
    filter_ = Image.Resampling[method.upper()]
    return np.array(Image.fromarray(picture).resize((width, height), filter_))


def enlarge(image: Tensor, size: Sequence[int]) -> Tensor:
    """An 8-bit image (C, H, W) at another (H, W): bilinear, corners not aligned."""
    if image.shape[-2:] == tuple(size):
        return image
    resized = F.interpolate(image[None].float(), tuple(size), mode='bilinear')[0]
    return resized.round().byte()
