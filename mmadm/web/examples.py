"""Images to try a model with: photographs from scikit-image, in the public domain.

chelsea: Stefan van der Walt (CC0). coffee: Rachel Michetti, Pikolo Espresso Bar (CC0).
astronaut: NASA.
"""

from importlib.util import find_spec
from pathlib import Path

from PIL import Image

from mmadm.utils import resize
from mmadm.utils.images import read_image

#: Photograph -> top, left and side of a square part.
_SQUARES = dict(chelsea=(0, 70, 300), coffee=(20, 120, 360), astronaut=(0, 110, 230))
# Pixels of a prediction: models in the box need about a second per step on a CPU.
_PIXELS = 384 * 256
# Those for inpainting are trained on squares of this side.
_SIDE = 128


def write_examples(folder: str | Path, takes_masks: bool, scale: int) -> list[str]:
    """Write examples for one kind of model.

    Args:
        folder: for the files.
        takes_masks: the model is for inpainting.
        scale: how many times larger the prediction is than its input.

    Returns:
        the files.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    paths = [Path(folder, f'{name}.png') for name in _SQUARES]
    for path in paths:
        image = _square(path.stem) if takes_masks else _whole(path.stem, scale)
        image.save(path)
    return [str(path) for path in paths]


def _square(name: str) -> Image.Image:
    top, left, side = _SQUARES[name]
    image = _read(name)[top : top + side, left : left + side]
    return Image.fromarray(resize(image, (_SIDE, _SIDE), 'bicubic'))


def _whole(name: str, scale: int) -> Image.Image:
    image = _read(name)
    factor = (_PIXELS / image[..., 0].size) ** 0.5 / scale
    size = [round(length * factor / 4) * 4 for length in image.shape[:2]]
    return Image.fromarray(resize(image, size, 'bicubic'))


def _read(name: str):
    package = Path(find_spec('skimage').origin).parent
    return read_image(package / 'data' / f'{name}.png', 'color')
