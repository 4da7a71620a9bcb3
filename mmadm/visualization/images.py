"""Pictures made of pictures; all arrays (H, W, 3), uint8, RGB."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from torch import Tensor

from mmadm.utils import resize

_GAP = 4
_CAPTION = 22
_WHITE = 255
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_RED = np.array([230, 30, 30])
_STRIPES = (110, 190)


def to_rgb_array(image: Tensor) -> np.ndarray:
    """A uint8 tensor (C, H, W) with one or three channels to a picture."""
    array = image.detach().cpu().numpy().transpose(1, 2, 0)
    return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))


def detail(picture: np.ndarray, side: int = 224) -> np.ndarray:
    """The middle of a large picture, at most ``side`` pixels in each direction."""
    height, width = picture.shape[:2]
    top, left = max(0, height - side) // 2, max(0, width - side) // 2
    return picture[top : top + side, left : left + side]


def fitted(picture: np.ndarray, side: int = 224) -> np.ndarray:
    """The whole of a large picture, reduced to at most ``side`` pixels."""
    factor = side / max(picture.shape[:2])
    if factor >= 1:
        return picture
    size = [max(1, round(length * factor)) for length in picture.shape[:2]]
    return resize(picture, size, 'bilinear')


def overlay(picture: np.ndarray, map_: np.ndarray) -> np.ndarray:
    """A map, (H, W, 3), laid over the picture in red: the brighter, the denser."""
    share = 0.7 * map_ / 255
    return np.rint((1 - share) * picture + share * _RED).astype(np.uint8)


def with_holes(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Grey stripes where the mask, (H, W), is not 0: no picture looks like that."""
    y, x = np.indices(mask.shape)
    stripes = np.array(_STRIPES, np.uint8)[(x + y) // 4 % 2]
    return np.where(mask[..., None] != 0, stripes[..., None], picture)


def captioned(picture: np.ndarray, text: str) -> np.ndarray:
    """A white line with ``text`` above the picture, as large as its width allows."""
    line = np.full((_CAPTION, picture.shape[1], 3), _WHITE, np.uint8)
    place, black = (4, _CAPTION - 7), (0, 0, 0)
    (width, _), _ = cv2.getTextSize(text, _FONT, 1, 1)
    scale = min(0.45, (picture.shape[1] - place[0]) / width)
    cv2.putText(line, text, place, _FONT, max(scale, 0.25), black, 1, cv2.LINE_AA)
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


def grid(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """As many columns as rows, or one more."""
    width = math.ceil(math.sqrt(len(pictures)))
    starts = range(0, len(pictures), width)
    return column([row(pictures[start : start + width]) for start in starts])


def _pad(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    out = np.full((height, width, 3), _WHITE, np.uint8)
    out[: picture.shape[0], : picture.shape[1]] = picture
    return out
