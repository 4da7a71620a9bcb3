"""8-bit images: the only functions that read image files, and resizing.

Images are arrays (H, W, 3) or (H, W), uint8, RGB; or tensors (C, H, W).
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import torch.nn.functional as F
from PIL import ExifTags, Image
from torch import Tensor

#: A path, the content of a file, or an opened image.
ImageFile = str | Path | bytes | Image.Image
Filter = Literal['nearest', 'box', 'bilinear', 'bicubic', 'lanczos']

#: Formats of image files, whatever their suffix. Pillow knows more: a PostScript file,
#: for example, is run by Ghostscript.
FORMATS = ('PNG', 'JPEG', 'BMP', 'WEBP', 'TIFF', 'PPM')
#: Larger images are refused before they are decoded (270 MB as RGB).
MAX_PIXELS = 90_000_000

_PILLOW_MODES = {'color': 'RGB', 'grayscale': 'L'}
# EXIF's orientation -> what makes the image upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Channels of a grey image may differ by so much: JPEG and scanners are not exact.
_GREY_TOLERANCE = 8
# A drawing has few colours, a photograph has many.
_MAX_STROKE_COLOURS = 8


class BrokenImageError(ValueError):
    """An image file that is missing, corrupted or refused.

    In training the dataset replaces it by another image.
    """


def read_image(path: ImageFile, color: Literal['color', 'grayscale']) -> np.ndarray:
    """An image file as (H, W, 3) RGB or (H, W), uint8.

    Grey, palette and CMYK files are converted, transparent pixels are composited on
    white, and the orientation of EXIF is applied. Files with more than 8 bits per
    channel, several frames or pages, or more than :data:`MAX_PIXELS` are refused.

    Raises:
        BrokenImageError: the file is missing, corrupted or refused.
    """
    with _opened(path) as image:
        image = _upright(image)
        if _has_transparency(image):
            image = image.convert('RGBA')
            white = Image.new('RGBA', image.size, 'white')
            image = Image.alpha_composite(white, image)
        return np.array(image.convert(_PILLOW_MODES[color]))


def read_grey(path: ImageFile) -> np.ndarray:
    """A grey map, such as a prediction, with the values of its file: (H, W), uint8.

    Opened as by :func:`read_image`. Coloured files are refused. Indices of a coloured
    palette are the map where they are 0 and 1, or 0 and 255; it then has 0 and 255.
    Transparent pixels count as 0. Of strokes on a transparent layer, in one grey value
    or in a few colours, the opacity is the map.

    Raises:
        BrokenImageError: the file is missing, corrupted or refused, or it is no map.
    """
    with _opened(path) as image:
        image = _upright(image)
        if _has_transparency(image):
            image = _over_black(image.convert('RGBA'))
        if image.mode == 'P' and _is_coloured(_used_colours(image)):
            return _from_indices(np.array(image), described(path))
        if image.mode in ('1', 'L'):
            return np.array(image.convert('L'))

        array = np.array(image.convert('RGB'))
        if _is_coloured(array):
            raise BrokenImageError(
                f'Map in colours: {described(path)} (mode {image.mode}). Store masks '
                'and maps as 8-bit grey PNG files, 255 = 1; for an image as the target '
                "of a dataset, use LoadImages(map_color='color')."
            )
        return array.mean(axis=2).round().astype(np.uint8)


def read_map(path: ImageFile) -> np.ndarray:
    """A ground-truth map: (H, W), uint8, 0..255.

    As :func:`read_grey`; a file that contains 0 and 1 only is multiplied by 255.

    Raises:
        BrokenImageError: the file is missing, corrupted or refused, or it is no map.
    """
    grey = read_grey(path)
    return grey * 255 if grey.max() == 1 else grey


def read_mask(path: ImageFile) -> np.ndarray:
    """A mask of two values: (H, W), bool.

    As :func:`read_map`. Values above 127 are True: grey between black and white comes
    from soft edges and JPEG. A file that has no white (192 to 255) next to its grey, no
    black (0 to 63) next to its grey, or values like class indices is refused. The mask
    may be True everywhere or nowhere: the caller has to report this.

    Raises:
        BrokenImageError: the file is missing, corrupted or refused, or it is no mask.
    """
    grey = read_map(path)
    values = np.flatnonzero(np.bincount(grey.ravel(), minlength=256))
    low, high = values[0], values[-1]
    grey_values = values[(values > 0) & (values < 255)]
    indices = len(grey_values) > 0 and grey_values[-1] < 64
    if high > 0 and (high < 192 or 64 <= low < 192 or indices):
        raise BrokenImageError(
            f'Not a mask: {described(path)} has {len(values)} values from {low} to '
            f'{high}, such as {values[:5].tolist()}. Store masks with two values, 0 '
            'and 255, or 0 and 1.'
        )
    return grey > 127


def read_size(path: ImageFile) -> tuple[int, int]:
    """(H, W) of an image file as :func:`read_image` would return it.

    Raises:
        BrokenImageError: the file is missing, corrupted or refused.
    """
    with _opened(path) as image:
        if image.format == 'TIFF':  # Pillow's size may have been turned already
            image = _upright(image)
        width, height = image.size
        return (width, height) if _orientation(image) >= 5 else (height, width)


def read_text(path: str | Path, key: str) -> str | None:
    """A text of a PNG file; None where it has none, or cannot be read."""
    try:
        with _opened(path) as image:
            return image.info.get(key)
    except BrokenImageError:
        return None


def is_grey_file(path: ImageFile) -> bool:
    """Whether an image file has one channel (besides opacity), whatever it is read as.

    Raises:
        BrokenImageError: the file is missing, corrupted or refused.
    """
    with _opened(path) as image:
        return image.mode in ('1', 'L', 'LA')


@contextmanager
def _opened(path: ImageFile) -> Iterator[Image.Image]:
    """The opened file; every error in the block becomes a BrokenImageError."""
    if isinstance(path, str | Path) and not Path(path).is_file():
        raise BrokenImageError(
            f'Image not found: {path}. Restore it, or correct the path.'
        )
    name = described(path)
    try:
        if isinstance(path, Image.Image):
            _check(path, name)
            yield path
            return
        file = io.BytesIO(path) if isinstance(path, bytes) else path
        with Image.open(file, formats=FORMATS) as image:
            _check(image, name)
            yield image
    except BrokenImageError:
        raise
    except Exception as error:  # a corrupted file may raise anything
        raise BrokenImageError(
            f'Broken image file: {name} ({type(error).__name__}: {error}). Replace or '
            'remove it.'
        ) from error


def described(image: object) -> str:
    """What a message calls an image."""
    if isinstance(image, str | Path):
        return str(image)
    if isinstance(image, bytes):
        return f'{len(image)} bytes'
    if isinstance(image, Image.Image):
        return f'a PIL image of {image.width} x {image.height}, mode {image.mode}'
    if hasattr(image, 'dtype'):
        kind = 'a tensor' if isinstance(image, Tensor) else 'an array'
        dtype = str(image.dtype).removeprefix('torch.')
        return f'{kind} of {dtype} {tuple(image.shape)}'
    return f'an object of type {type(image).__name__}'


def _check(image: Image.Image, path: str) -> None:
    """Refuse what would not be read completely."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise BrokenImageError(
            f'Image with more than {MAX_PIXELS:,} pixels: {path} ({width} x {height}). '
            'Cut it into tiles, or reduce it.'
        )
    if _is_deep(image):
        raise BrokenImageError(
            f'Image with more than 8 bits per channel: {path} (mode {image.mode}). '
            'Convert it to 8 bits first, so that its range is chosen by you.'
        )
    # The further images of MPO files, from phones, are previews and depth maps.
    frames = 1 if image.format == 'MPO' else getattr(image, 'n_frames', 1)
    if frames > 1:
        raise BrokenImageError(
            f'Image with {frames} frames or pages: {path}. Save each as a file of its '
            'own, or the one that you want.'
        )


def _is_deep(image: Image.Image) -> bool:
    """Whether a file that was just opened has more than 8 bits per channel.

    Pillow calls 16-bit colours 'RGB' as well and would keep their upper 8 bits; only
    the layout of the bytes in the file, or the largest value of a PPM, shows it.
    """
    if image.mode.startswith(('I', 'F')):
        return True
    # An image in memory has no file, and no tiles.
    for decoder, *_, layout in getattr(image, 'tile', ()):
        largest = layout[-1] if isinstance(layout, tuple) else None
        if decoder.startswith('ppm') and isinstance(largest, int) and largest > 255:
            return True
        if ';16' in str(layout) and 'BGR;16' not in str(layout):  # BGR;16 is 565
            return True
    return False


def _orientation(image: Image.Image) -> int:
    """EXIF's orientation, 1 (upright) where EXIF is corrupted."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
        return int(orientation) if orientation in _TURNS else 1
    except Exception:  # damaged metadata may raise anything
        return 1


def _upright(image: Image.Image) -> Image.Image:
    # Loading applies the orientation of TIFF files, and removes it from their EXIF.
    image.load()
    orientation = _orientation(image)
    return image.transpose(_TURNS[orientation]) if orientation > 1 else image


def _has_transparency(image: Image.Image) -> bool:
    return image.mode in ('LA', 'PA', 'RGBA', 'La', 'RGBa') or (
        'transparency' in image.info
    )


def _over_black(rgba: Image.Image) -> Image.Image:
    """Composited on black; of strokes in one colour or a few, the opacity."""
    colours, alpha = np.array(rgba.convert('RGB')), np.array(rgba.getchannel('A'))
    # Programs do not keep the exact colour of pixels that are nearly transparent.
    strokes = colours[alpha > 127]
    is_one = not len(strokes) or np.ptp(strokes, axis=0).max() <= _GREY_TOLERANCE
    is_few = _is_coloured(strokes) and len(_coarse(strokes)) <= _MAX_STROKE_COLOURS
    if alpha.min() < 255 and (is_one or is_few):
        return Image.fromarray(alpha)
    black = Image.new('RGBA', rgba.size, 'black')
    return Image.alpha_composite(black, rgba).convert('RGB')


def _coarse(colours: np.ndarray) -> np.ndarray:
    """The different colours of (N, 3), in 16 steps per channel."""
    codes = colours // 16 @ np.array([256, 16, 1])
    return np.flatnonzero(np.bincount(codes))


def _is_coloured(colours: np.ndarray) -> bool:
    return bool((np.ptp(colours, axis=-1) > _GREY_TOLERANCE).any())


def _used_colours(image: Image.Image) -> np.ndarray:
    """Colours (N, 3) of the palette that occur in the image."""
    return np.array(image.convert('RGB')).reshape(-1, 3)


def _from_indices(indices: np.ndarray, path: str) -> np.ndarray:
    values = np.unique(indices).tolist()
    if not ({*values} <= {0, 1} or {*values} <= {0, 255}):
        raise BrokenImageError(
            f'Map with the palette indices {values[:8]}: {path}. Only 0 and 1, or 0 '
            'and 255, can be read as a mask; choose the classes, and store 0 and 255.'
        )
    return np.where(indices > 0, 255, 0).astype(np.uint8)


def resize(image: np.ndarray, size: Sequence[int], method: Filter) -> np.ndarray:
    """``image`` at (H, W) with a filter of Pillow.

    All filters but 'nearest' are antialiased where they reduce.
    """
    height, width = size
    filter_ = Image.Resampling[method.upper()]
    return np.array(Image.fromarray(image).resize((width, height), filter_))


def enlarge(image: Tensor, size: Sequence[int]) -> Tensor:
    """An image (C, H, W) at another (H, W): bilinear, corners not aligned."""
    if image.shape[-2:] == tuple(size):
        return image
    resized = F.interpolate(image[None].float(), tuple(size), mode='bilinear')[0]
    return resized if image.is_floating_point() else resized.round().byte()
