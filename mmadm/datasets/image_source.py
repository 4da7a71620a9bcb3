"""Images for statistics and scores: from a folder, an archive or CIFAR-10."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from mmadm.utils import resize
from mmadm.utils.image_files import list_images
from mmadm.utils.images import read_image

from .cifar10 import BATCHES, FOLDER, read_batch


class ImageSource:
    """A collection of images, (H, W, 3), uint8, RGB, that are read one by one.

    Args:
        formats: number of images of each format.
        read: returns the image of an index.
    """

    def __init__(
        self, formats: dict[str, int], read: Callable[[int], np.ndarray]
    ) -> None:
        self.formats = dict(formats)
        self.read = read

    def __len__(self) -> int:
        return sum(self.formats.values())

    def __iter__(self) -> Iterator[np.ndarray]:
        return map(self.read, range(len(self)))

    def resized(self, size: int, method: str) -> 'ImageSource':
        """The same images, which have to be square, at ``size`` x ``size`` pixels.

        Args:
            size: pixels per side.
            method: see :func:`mmadm.utils.resize`.
        """

        def read(index: int) -> np.ndarray:
            image = self.read(index)
            height, width = image.shape[:2]
            if height != width:
                raise ValueError(
                    f'Resizing to {size} x {size} would distort image {index}, which '
                    f'is {height} x {width}. Crop the images to squares first.'
                )
            return resize(image, (size, size), method)

        return ImageSource(self.formats, read)


def open_images(source: str | Path) -> ImageSource:
    """Images of a folder, of a ``.npz`` of samples, or of CIFAR-10's training set.

    Args:
        source: a folder of image files at any depth; a file with ``arr_0``, (N, H, W,
            3), uint8, as ``tools/test.py --out-item pred`` and guided-diffusion write
            it; or a folder that contains ``cifar-10-batches-py``.

    Raises:
        FileNotFoundError: the source does not exist, or contains no image.
        ValueError: the file contains something else.
    """
    source = Path(source)
    if source.suffix == '.npz':
        return _open_samples(source)
    if (source / FOLDER).is_dir():
        parts = [read_batch(source / FOLDER / name) for name in BATCHES['train']]
        images = np.concatenate(parts)
        return ImageSource({'CIFAR-10 train': len(images)}, images.__getitem__)
    paths = list_images(source)
    formats = Counter(path.suffix.lower() for path in paths)
    return ImageSource(formats, lambda index: read_image(paths[index], 'color'))


def _open_samples(path: Path) -> ImageSource:
    if not path.is_file():
        raise FileNotFoundError(
            f'Samples not found: {path}. Write them with `python tools/test.py CONFIG '
            f'CHECKPOINT --out-item pred --out {path}`.'
        )
    try:
        images = np.load(path, allow_pickle=False)['arr_0']
    except Exception as error:  # a corrupted archive may raise anything
        raise ValueError(
            f'Samples cannot be read: {path} ({type(error).__name__}: {error}). Give a '
            '.npz with an array arr_0 of shape (N, H, W, 3), uint8.'
        ) from error
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3):
        raise ValueError(
            f'Not samples: arr_0 of {path} has the shape {images.shape} and the type '
            f'{images.dtype}. Give (N, H, W, 3) or (N, H, W, 1), uint8.'
        )
    images = np.broadcast_to(images, (*images.shape[:3], 3))
    return ImageSource({'.npz': len(images)}, images.__getitem__)
