"""Figures composed of images; all arrays are (H, W, 3), uint8, RGB."""

import math
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from torch import Tensor

from mmadm.utils import resize

_GAP = 4
_CAPTION = 22
# Smaller images are enlarged for figures: a caption needs so many pixels.
_LEGIBLE = 128
_WHITE = 255
_FONT = cv2.FONT_HERSHEY_SIMPLEX
# Width of a colour bar, and of the numbers beside it.
_BAR, _LABEL = 14, 36
_RED = np.array([230, 30, 30])
_STRIPES = (110, 190)
_FAINT = 0.05


def to_rgb_array(image: Tensor) -> np.ndarray:
    """A uint8 tensor (C, H, W) with one or three channels as an RGB array."""
    array = image.detach().cpu().numpy().transpose(1, 2, 0)
    return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))


def detail(image: np.ndarray, side: int = 224) -> np.ndarray:
    """The centre of a large image, at most ``side`` pixels in each direction."""
    height, width = image.shape[:2]
    top, left = max(0, height - side) // 2, max(0, width - side) // 2
    return image[top : top + side, left : left + side]


def fitted(image: np.ndarray, side: int = 224) -> np.ndarray:
    """A large image reduced to at most ``side`` pixels per side."""
    factor = side / max(image.shape[:2])
    if factor >= 1:
        return image
    size = [max(1, round(length * factor)) for length in image.shape[:2]]
    return resize(image, size, 'bilinear')


def legible(image: np.ndarray) -> np.ndarray:
    """A small image enlarged by a whole number: each pixel becomes a square."""
    factor = max(1, _LEGIBLE // max(image.shape[:2]))
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def overlay(image: np.ndarray, map_: np.ndarray) -> np.ndarray:
    """A map, (H, W, 3), blended over the image in red.

    The opacity is the square root of the map's values: edges are thin, and often faint.
    Values below 5 % are noise, and are not drawn.
    """
    opacity = 0.9 * np.sqrt(np.clip(map_ / 255 - _FAINT, 0, None) / (1 - _FAINT))
    return np.rint((1 - opacity) * image + opacity * _RED).astype(np.uint8)


def with_holes(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Grey stripes where the mask, (H, W), is not 0: not to be taken for content."""
    y, x = np.indices(mask.shape)
    stripes = np.array(_STRIPES, np.uint8)[(x + y) // 4 % 2]
    return np.where(mask[..., None] != 0, stripes[..., None], image)


def heat_map(values: np.ndarray, top: float | None = None) -> np.ndarray:
    """A map of numbers in colours, with a colour bar: (H, W + 54, 3).

    Args:
        values: (H, W), not negative.
        top: the number of the brightest colour; the largest value if None.
    """
    top = float(values.max()) if top is None else top
    height = len(values)
    ramp = np.linspace(1, 0, height)[:, None].repeat(_BAR, axis=1)
    scaled = [np.clip(values / max(top, 1e-12), 0, 1), np.ones((height, _GAP)), ramp]
    levels = np.rint(255 * np.concatenate(scaled, axis=1)).astype(np.uint8)
    colours = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[..., ::-1]
    colours[:, values.shape[1] : -_BAR] = _WHITE
    labels = np.full((height, _LABEL, 3), _WHITE, np.uint8)
    for text, y in ((f'{top:.3g}', 10), ('0', height - 2)):
        cv2.putText(labels, text, (2, y), _FONT, 0.35, (0, 0, 0), 1, cv2.LINE_AA)
    return np.concatenate([colours, labels], axis=1)


def captioned(image: np.ndarray, text: str) -> np.ndarray:
    """The image below a white line of ``text``, as large as the width allows."""
    line = np.full((_CAPTION, image.shape[1], 3), _WHITE, np.uint8)
    place, black = (4, _CAPTION - 7), (0, 0, 0)
    (width, _), _ = cv2.getTextSize(text, _FONT, 1, 1)
    scale = min(0.45, (image.shape[1] - place[0]) / width)
    cv2.putText(line, text, place, _FONT, max(scale, 0.25), black, 1, cv2.LINE_AA)
    return np.concatenate([line, image])


def captioned_row(shown: Mapping[str, np.ndarray]) -> np.ndarray:
    """Images by caption, side by side; small ones are enlarged."""
    return row([captioned(legible(image), text) for text, image in shown.items()])


def row(images: Sequence[np.ndarray]) -> np.ndarray:
    """Images side by side, aligned at the top."""
    height = max(image.shape[0] for image in images)
    padded = [_pad(image, height, image.shape[1] + _GAP) for image in images]
    return np.concatenate(padded, axis=1)[:, :-_GAP]


def column(images: Sequence[np.ndarray]) -> np.ndarray:
    """Images one below the other, aligned at the left."""
    width = max(image.shape[1] for image in images)
    padded = [_pad(image, image.shape[0] + _GAP, width) for image in images]
    return np.concatenate(padded)[:-_GAP]


def grid(images: Sequence[np.ndarray]) -> np.ndarray:
    """Images in a grid with as many columns as rows, or one more."""
    width = math.ceil(math.sqrt(len(images)))
    starts = range(0, len(images), width)
    return column([row(images[start : start + width]) for start in starts])


def _pad(image: np.ndarray, height: int, width: int) -> np.ndarray:
    out = np.full((height, width, 3), _WHITE, np.uint8)
    out[: image.shape[0], : image.shape[1]] = image
    return out
