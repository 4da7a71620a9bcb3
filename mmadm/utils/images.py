"""8-bit pictures: arrays (H, W, 3) or (H, W), RGB."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from PIL import Image

_FILTERS = {'nearest': Image.Resampling.NEAREST, 'bicubic': Image.Resampling.BICUBIC}


def resize(
    picture: np.ndarray, size: Sequence[int], method: Literal['nearest', 'bicubic']
) -> np.ndarray:
    """``picture`` at (H, W); antialiased where 'bicubic' reduces it."""
    height, width = size
    return np.array(Image.fromarray(picture).resize((width, height), _FILTERS[method]))
