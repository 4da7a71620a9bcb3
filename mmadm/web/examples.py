"""Images to try a model with: photographs from scikit-image, all in the public domain.

chelsea: Stefan van der Walt (CC0). coffee: Rachel Michetti, Pikolo Espresso Bar (CC0).
astronaut: NASA.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from mmadm.utils import resize
from mmadm.utils.images import read_image

_PHOTOGRAPHS = ('chelsea', 'coffee', 'astronaut')
# Pixels of a prediction: a model in the box needs about a second per step on a CPU.
_PIXELS = 384 * 256
# Hole of the astronaut, an ellipse, in fractions of height and width: centre and radii.
_HOLE = ((0.55, 0.5), (0.16, 0.2))


def write_examples(
    folder: str | Path, takes_masks: bool, scale: int
) -> list[tuple[str, list[str]]]:
    """Write examples for one kind of model.

    Args:
        folder: for the files.
        takes_masks: also paint a hole.
        scale: how many times larger the prediction is than its input.

    Returns:
        the file of each image, and those of its painted layers.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    examples = []
    for name in _PHOTOGRAPHS:
        image = _photograph(name, square=takes_masks, scale=scale)
        path = Path(folder, f'{name}.png')
        Image.fromarray(image).save(path)
        layers = []
        if takes_masks:
            layers = [str(path.with_stem(f'{name}_hole'))]
            Image.fromarray(_painted(image.shape[:2])).save(layers[0])
        examples.append((str(path), layers))
    return examples


def _photograph(name: str, square: bool, scale: int) -> np.ndarray:
    """A photograph, reduced; its upper middle where it has to be square."""
    package = Path(find_spec('skimage').origin).parent
    image = read_image(package / 'data' / f'{name}.png', 'color')
    height, width = image.shape[:2]
    if square:
        side = min(height, width) // 2
        left = (width - side) // 2
        image = image[:side, left : left + side]
    factor = (_PIXELS / image[..., 0].size) ** 0.5 / scale
    size = [round(length * factor / 4) * 4 for length in image.shape[:2]]
    return resize(image, size, 'bicubic')


def _painted(size: tuple[int, int]) -> np.ndarray:
    """A layer (H, W, 4) with an ellipse in white."""
    y, x = ((np.arange(n) + 0.5) / n for n in size)
    (top, left), (height, width) = _HOLE
    inside = ((y[:, None] - top) / height) ** 2 + ((x - left) / width) ** 2 < 1
    return np.repeat(inside[..., None], 4, axis=2).astype(np.uint8) * 255
