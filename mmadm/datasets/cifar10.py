"""CIFAR-10 from its official Python batches."""

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mmadm.registry import DATASETS
from mmadm.utils import as_names

from .seeded import SeededDataset

FOLDER = 'cifar-10-batches-py'
#: The files of each split.
BATCHES = {
    'train': tuple(f'data_batch_{number}' for number in range(1, 6)),
    'test': ('test_batch',),
}
_ADVICE = (
    'Unpack cifar-10-python.tar.gz of the official page there, or change data_root of '
    'the dataset in the config.'
)


@DATASETS.register_module()
class CIFAR10Images(SeededDataset):
    """The 32x32 images of CIFAR-10, held in memory: ``img``, uint8, RGB.

    The pipeline needs no transform that loads images.

    Args:
        data_root: folder that has ``cifar-10-batches-py`` in it.
        split: 'train' or 'test'.
        batches: names of files to read instead of all files of the split, for
            instance ``('data_batch_1',)``; one name may be given alone.
        kwargs: see :class:`mmengine.dataset.BaseDataset`.
    """

    def __init__(
        self,
        data_root: str = '',
        split: Literal['train', 'test'] = 'train',
        batches: str | Sequence[str] | None = None,
        **kwargs,
    ) -> None:
        if split not in BATCHES:
            raise ValueError(
                f'Unknown split={split!r} of CIFAR-10. Use one of {sorted(BATCHES)}.'
            )
        self.batches = as_names(batches or BATCHES[split])
        super().__init__(data_root=data_root, **kwargs)

    def load_data_list(self) -> list[dict]:
        """One entry per image, in the official order.

        Raises:
            FileNotFoundError: the folder or a file is missing.
            ValueError: a file is damaged, or not a batch of CIFAR-10.
        """
        folder = Path(self.data_root, FOLDER)
        if not folder.is_dir():
            raise FileNotFoundError(f'CIFAR-10 not found: {folder}. {_ADVICE}')
        images = [image for name in self.batches for image in read_batch(folder / name)]
        size = images[0].shape[:2]
        return [dict(img=image, img_shape=size, ori_shape=size) for image in images]


def read_batch(path: Path) -> np.ndarray:
    """Images of one official file, (N, 32, 32, 3), uint8, RGB.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: the file is damaged, or not a batch of CIFAR-10.
    """
    if not path.is_file():
        there = sorted(file.name for file in path.parent.glob('*_batch*'))
        raise FileNotFoundError(
            f'Batch of CIFAR-10 not found: {path}; the folder has {there}. Copy the '
            'missing file, or name those to read with batches=... of the dataset.'
        )
    data = _images_of(_unpickle(path), path)
    return data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)


def _unpickle(path: Path) -> Any:
    try:
        with path.open('rb') as file:
            return _PlainUnpickler(file, encoding='bytes').load()
    except Exception as error:  # a damaged pickle may raise anything
        raise ValueError(
            f'Broken batch of CIFAR-10: {path} ({type(error).__name__}: {error}). Copy '
            'it again from cifar-10-python.tar.gz.'
        ) from error


def _images_of(batch: Any, path: Path) -> np.ndarray:
    data = batch.get(b'data') if isinstance(batch, dict) else None
    shape = getattr(data, 'shape', ())
    if len(shape) != 2 or shape[1] != 3072 or not shape[0] or data.dtype != np.uint8:
        raise ValueError(
            f'Not a batch of CIFAR-10: {path} has no uint8 array of shape (N, 3072) '
            'under b"data". Take the files of cifar-10-python.tar.gz.'
        )
    return data


def _to_bytes(text: str, encoding: str) -> bytes:
    return text.encode(encoding)


class _PlainUnpickler(pickle.Unpickler):
    """Builds arrays, bytes, numbers, lists and dicts; refuses to call anything else."""

    _rebuild = np.empty(0).__reduce__()[0]
    _allowed = {
        ('numpy', 'ndarray'): np.ndarray,
        ('numpy', 'dtype'): np.dtype,
        ('numpy.core.multiarray', '_reconstruct'): _rebuild,
        ('numpy._core.multiarray', '_reconstruct'): _rebuild,
        ('_codecs', 'encode'): _to_bytes,  # how Python 3 writes bytes in protocol 2
    }

    def find_class(self, module: str, name: str) -> Any:
        """One of the few functions that arrays are built with."""
        try:
            return self._allowed[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f'the file wants to run {module}.{name}'
            ) from None
