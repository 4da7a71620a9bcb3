"""All forms in which a user gives images and masks, as files or 8-bit arrays."""

import glob
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mmadm.utils.image_files import IMAGE_SUFFIXES, file_name, list_images
from mmadm.utils.images import described, read_image, read_mask

#: One image: a file, an address, the content of a file, an array, or a tensor.
ImageInput = str | Path | bytes | Image.Image | np.ndarray | Tensor
#: One or several images.
Inputs = ImageInput | Sequence[ImageInput]

#: Largest file that is downloaded, in bytes.
MAX_DOWNLOAD = 50_000_000
# Seconds without a byte until a download fails.
_TIMEOUT = 20
_FORMS = (
    'a path, a folder, a pattern such as photos/*.png, an address (https://), a PIL '
    'image, the bytes of a file, an array (H, W), (H, W, 3), (H, W, 4) or (N, H, W, '
    '3), or a tensor (C, H, W) or (N, C, H, W); uint8, or floats in [0, 1]; RGB'
)
_MASK_FORMS = (
    'a path, a folder, a pattern, an address, a PIL image, the bytes of a file, an '
    'array or a tensor (H, W) or (N, H, W) of 0 and 1, or of 0 and 255 (the larger '
    'value is the hole)'
)


def named_inputs(source: Inputs, are_masks: bool = False) -> dict[str, ImageInput]:
    """Each image by a unique name: its path below the common folder, or its number.

    Folders and patterns are listed, sorted; batches of arrays are split.

    Raises:
        FileNotFoundError: a folder is empty, or a pattern fits no image.
    """
    if is_folder(source):
        paths = list_images(source, advice='Give a folder of images.')
        # Two files that differ in the suffix alone are two images.
        items = [(file_name(source, path), path) for path in paths]
    else:
        images = [
            image
            for given in (source if isinstance(source, list | tuple) else [source])
            for image in _separated(given, are_masks)
        ]
        files = [os.path.abspath(x) for x in images if is_file_name(x)]
        folder = os.path.commonpath(map(os.path.dirname, files)) if files else ''
        items = [(_name(x, i, folder), x) for i, x in enumerate(images)]
    named: dict[str, ImageInput] = {}
    for i, (name, item) in enumerate(items):
        while name in named:
            name = f'{name}_{i:06d}'
        named[name] = item
    return named


def is_folder(source: object) -> bool:
    """Whether images are given as a folder."""
    return is_file_name(source) and Path(source).is_dir()


def is_file_name(source: object) -> bool:
    """Whether an image is given by the path of a file."""
    return isinstance(source, str | Path) and not is_address(source)


def is_address(source: object) -> bool:
    """Whether an image is given by an address of the web."""
    return isinstance(source, str) and source.startswith(('http://', 'https://'))


def has_name(source: object) -> bool:
    """Whether an image can be paired with others by its name."""
    return isinstance(source, str | Path)


def _separated(given: object, is_mask: bool) -> list:
    """The images of a pattern or a batch; else the image itself."""
    if is_file_name(given) and glob.has_magic(str(given)) and not Path(given).exists():
        paths = sorted(glob.glob(str(given), recursive=True))
        images = [path for path in paths if path.lower().endswith(IMAGE_SUFFIXES)]
        if not images:
            raise FileNotFoundError(
                f'No image ({", ".join(IMAGE_SUFFIXES)}) fits the pattern: {given}. '
                'Check it; ** stands for folders at any depth.'
            )
        return images
    dimensions = getattr(given, 'ndim', 0)
    if dimensions == 3 and is_mask:
        # The last dimension of an array may be its channels.
        is_one = isinstance(given, np.ndarray) and given.shape[2] in (1, 3, 4)
        return [given] if is_one else list(given)
    return list(given) if dimensions == 4 else [given]


def _name(image: ImageInput, index: int, folder: str) -> str:
    if is_address(image):
        path = urllib.parse.urlsplit(image).path
        return Path(urllib.parse.unquote(path)).stem or f'{index:06d}'
    if is_file_name(image):
        return file_name(folder, Path(os.path.abspath(image)))
    return f'{index:06d}'


def entry_of(key: str, image: ImageInput) -> dict:
    """An entry of the dataset: the path of a file, or an 8-bit array.

    Args:
        key: 'img' or 'mask'.
        image: any form.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no image, or the address cannot be read.
    """
    if is_file_name(image):
        if not Path(image).is_file():
            raise FileNotFoundError(
                f'Image not found: {image}. Give the path of an image file, or of a '
                'folder of them.'
            )
        return {f'{key}_path': str(image)}
    return {key: _as_mask(image) if key == 'mask' else _as_image(image)}


def _as_image(image: ImageInput) -> np.ndarray:
    """(H, W, 3), uint8; transparent pixels are composited on white, as in files."""
    if is_address(image):
        image = fetch(image)
    if isinstance(image, bytes | Image.Image):
        return read_image(image, 'color')
    array = _eight_bits(_channels_last(image))
    if array is None or array.ndim not in (2, 3) or not array.size:
        raise _refused('image', image, _FORMS)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim == 2:
        return np.repeat(array[..., None], 3, axis=2)
    if array.shape[2] == 4:
        return read_image(Image.fromarray(array), 'color')
    if array.shape[2] != 3:
        raise _refused('image', image, _FORMS)
    return np.ascontiguousarray(array)


def _as_mask(mask: ImageInput) -> np.ndarray:
    """(H, W), bool."""
    if is_address(mask):
        mask = fetch(mask)
    if isinstance(mask, bytes | Image.Image):
        return read_mask(mask)
    array = _channels_last(mask)
    if array is not None and array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    values = np.unique(array) if array is not None and array.ndim == 2 else ()
    if not (len(values) and ({*values} <= {0, 1} or {*values} <= {0, 255})):
        raise _refused('mask', mask, _MASK_FORMS)
    return array > 0


def _channels_last(image: object) -> np.ndarray | None:
    """An array, or a tensor (C, H, W) as an array (H, W, C); None for all else."""
    if isinstance(image, Tensor):
        image = image.detach().cpu()
        image = image.float() if image.dtype == torch.bfloat16 else image
        array = image.numpy()
        return array.transpose(1, 2, 0) if array.ndim == 3 else array
    return image if isinstance(image, np.ndarray) else None


def _eight_bits(array: np.ndarray | None) -> np.ndarray | None:
    """uint8 of uint8, or of floats in [0, 1]; None where it is neither."""
    if array is None or array.dtype == np.uint8:
        return array
    # NaN compares as False.
    is_unit = array.dtype.kind == 'f' and ((array >= 0) & (array <= 1)).all()
    return np.rint(255 * array).astype(np.uint8) if is_unit else None


def _refused(kind: str, image: object, forms: str) -> ValueError:
    text = described(image)
    if isinstance(image, np.ndarray | Tensor) and min(image.shape, default=0) > 0:
        text += f' with values from {image.min():g} to {image.max():g}'
    article = 'an' if kind == 'image' else 'a'
    return ValueError(f'Not {article} {kind}: {text}. Give {forms}.')


def fetch(address: str, max_bytes: int = MAX_DOWNLOAD) -> bytes:
    """The content of an address.

    Raises:
        ValueError: it cannot be read, or is larger than ``max_bytes``.
    """
    try:
        with urllib.request.urlopen(address, timeout=_TIMEOUT) as response:
            content = response.read(max_bytes + 1)
    except (OSError, HTTPException, ValueError) as error:
        raise ValueError(
            f'Image cannot be downloaded: {address} ({error}). Check address and '
            'network, or download the file by other means and give its path.'
        ) from error
    if len(content) > max_bytes:
        raise ValueError(
            f'Image too large to download: {address} has more than {max_bytes:,} '
            'bytes. Download it by other means and give its path.'
        )
    return content
