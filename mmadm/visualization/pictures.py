"""Pictures made of pictures; all arrays (H, W, 3), uint8, RGB."""

from collections.abc import Sequence

import cv2
import numpy as np
from torch import Tensor

_GAP = 4
_CAPTION = 22
_WHITE = 255


def to_picture(image: Tensor) -> np.ndarray:
    """A uint8 tensor (C, H, W) with one or three channels to a picture."""
    array = image.detach().cpu().numpy().transpose(1, 2, 0)
    return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))


def detail(picture: np.ndarray, side: int = 224) -> np.ndarray:
    """The middle of a large picture, at most ``side`` pixels in each direction."""
    height, width = picture.shape[:2]
    top, left = max(0, height - side) // 2, max(0, width - side) // 2
    return picture[top : top + side, left : left + side]


def captioned(picture: np.ndarray, text: str) -> np.ndarray:
    """A white line with ``text`` above the picture."""
    line = np.full((_CAPTION, picture.shape[1], 3), _WHITE, np.uint8)
    place, black = (4, _CAPTION - 7), (0, 0, 0)
    cv2.putText(
        line, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, black, 1, cv2.LINE_AA
    )
    return np.concatenate([line, picture])


def row(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Side by side, aligned at the top."""
    height = max(picture.shape[0] for picture in pictures)
    padded = [_pad(picture, height, picture.shape[1] + _GAP) for picture in pictures]
    return np.concatenate(padded, axis=1)[:, :-_GAP]


def column(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """One below the other, aligned at the left."""
    width = max(picture.shape[1] for picture in pictures)
    padded = [_pad(picture, picture.shape[0] + _GAP, width) for picture in pictures]
    return np.concatenate(padded)[:-_GAP]


def _pad(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    out = np.full((height, width, 3), _WHITE, np.uint8)
    out[: picture.shape[0], : picture.shape[1]] = picture
    return out
