"""Drawings of the page: an image, and the hole that a visitor painted on it."""

import os
from pathlib import Path

import numpy as np

from mmadm.utils import resize
from mmadm.utils.images import read_image, read_mask, read_size
from mmadm.visualization.images import with_holes

#: A drawing of the editor: files, or their content.
Drawing = dict[str, str | bytes | list | None]


def read_drawing(
    drawing: Drawing | None, folder: str | Path
) -> tuple[str, np.ndarray | None]:
    """The file of the image, and the hole (H, W), bool, if one is painted.

    Images are opened by mmadm's reader only: others may run programs.

    Args:
        drawing: ``background`` and ``layers`` of strokes, which are transparent where
            nothing was painted.
        folder: for images that are not files yet.

    Raises:
        ValueError: there is no image, it cannot be read, or a layer has another size.
    """
    if drawing is None or drawing['background'] is None:
        raise ValueError(
            'There is no image: the editor is empty. Drop an image on it, or choose an '
            'example.'
        )
    image = _as_file(drawing['background'], folder)
    size, hole = read_size(image), None
    for layer in drawing['layers'] or ():
        path = _as_file(layer, folder)
        if read_size(path) != size:
            raise ValueError(
                f'The painted layer is {read_size(path)}, the image {size}, in pixels '
                '(height, width). Paint on the image, without cropping it afterwards.'
            )
        mask = read_mask(path)
        hole = mask if hole is None else hole | mask
    is_painted = hole is not None and hole.any()
    return image, hole if is_painted else None


def _as_file(image: str | bytes, folder: str | Path) -> str:
    """The path of an image; its content is written to a file first."""
    if isinstance(image, str):
        return image
    path = Path(folder, f'{len(os.listdir(folder))}.png')
    path.write_bytes(image)
    return str(path)


def draw_input(
    image: str, hole: np.ndarray | None, size: tuple[int, int]
) -> np.ndarray:
    """The image at the size of its prediction, with visible holes: (H, W, 3)."""
    pixels = read_image(image, 'color')
    if hole is not None:
        pixels = with_holes(pixels, hole)
    return resize(pixels, size, 'bicubic')
