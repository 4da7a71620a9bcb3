"""Images to try a model with: photographs from scikit-image, in the public domain.

chelsea: Stefan van der Walt (CC0). coffee: Rachel Michetti, Pikolo Espresso Bar (CC0).
astronaut: NASA.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from PIL import Image, ImageDraw

from mmadm.utils import resize
from mmadm.utils.images import read_image

#: Photograph -> top, left and side of a square part.
_SQUARES = dict(chelsea=(0, 70, 300), coffee=(20, 120, 360), astronaut=(0, 110, 230))
# Pixels of a prediction: models in the box need about a second per step on a CPU.
_PIXELS = 384 * 256
# Those for inpainting are trained on squares of this side.
_SIDE = 128
#: Colour in which visitors paint.
BRUSH = '#e6007e'
# A stroke of the brush on a square, (x, y), and its width.
_STROKE = ((28, 92), (50, 78), (70, 92), (98, 66))
_WIDTH = 8


@dataclass(frozen=True)
class Example:
    """Files of an example.

    Args:
        image: the input.
        shown: what a visitor sees of it.
        layer: the painted hole, transparent elsewhere; None without a hole.
    """

    image: str
    shown: str
    layer: str | None = None


def write_examples(folder: str | Path, takes_masks: bool, scale: int) -> list[Example]:
    """Write examples for one kind of model.

    Args:
        folder: for the files.
        takes_masks: the model is for inpainting: the images have a hole.
        scale: how many times larger the prediction is than its input.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)

    def save(image: Image.Image, name: str) -> str:
        path = Path(folder, f'{name}.png')
        image.save(path)
        return str(path)

    if not takes_masks:
        paths = [save(_whole(name, scale), name) for name in _SQUARES]
        return [Example(path, path) for path in paths]
    layer = _painted()
    hole = save(layer, 'hole')
    examples = []
    for name in _SQUARES:
        image = _square(name)
        shown = Image.alpha_composite(image.convert('RGBA'), layer)
        files = save(image, name), save(shown, f'{name}_with_hole')
        examples.append(Example(*files, hole))
    return examples


def _painted() -> Image.Image:
    """A stroke with round ends on a transparent square."""
    layer = Image.new('RGBA', (_SIDE, _SIDE))
    draw = ImageDraw.Draw(layer)
    draw.line(_STROKE, BRUSH, _WIDTH)
    half = _WIDTH / 2
    for x, y in _STROKE:
        draw.ellipse((x - half, y - half, x + half, y + half), BRUSH)
    return layer


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
