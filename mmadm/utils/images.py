"""8-bit pictures: arrays (H, W, 3) or (H, W), RGB."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from PIL import Image

Filter = Literal['nearest', 'box', 'bilinear', 'bicubic', 'lanczos']


def resize(picture: np.ndarray, size: Sequence[int], method: Filter) -> np.ndarray:
    """``picture`` at (H, W) with a filter of Pillow's.

    All filters but 'nearest' are antialiased where they reduce.
    """
    height, width = size
    filter_ = Image.Resampling[method.upper()]
    return np.array(Image.fromarray(picture).resize((width, height), filter_))
