"""A folder with the moments of all training images, from a frozen first stage.

``moments.npy``: (images, variants, 2 Z, h, w), means and log-variances; variant 1 is
the mirrored image. ``latents.json``: from which images and weights they were made. It
is written last: where it exists, the cache is complete.
"""

import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from torch import nn

from .files import atomic_write

_MOMENTS, _PART = 'moments.npy', '.moments.part.npy'
_RECORD, _PROGRESS = 'latents.json', '.progress.json'
_KEYS = {'first_stage', 'images', 'shape', 'dtype'}


def weights_hash(module: nn.Module) -> str:
    """SHA-256 over names, types, shapes and values of the weights of ``module``."""
    digest = sha256()
    for name, tensor in sorted(module.state_dict().items()):
        tensor = tensor.detach().cpu().contiguous()
        digest.update(f'{name} {tensor.dtype} {tuple(tensor.shape)} '.encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class LatentCache:
    """A complete cache, mapped into memory: only what is used is read.

    Args:
        folder: written by ``cache_latents.py``.

    Raises:
        FileNotFoundError: there is no cache, or it is not complete.
        ValueError: it is damaged.
    """

    def __init__(self, folder: str | Path) -> None:
        folder = Path(folder)
        if not (folder / _RECORD).is_file():
            unfinished = (folder / _PROGRESS).is_file()
            raise FileNotFoundError(
                f'{"Latents are not complete" if unfinished else "No latents"} in '
                f'{folder}. Run tools/dataset_converters/cache_latents.py with this '
                'config; it continues where it stopped.'
            )
        self.record = _read_record(folder / _RECORD)
        self.moments = _mapped(folder / _MOMENTS, 'r', self.record)

    def __getitem__(self, place: tuple[int, bool]) -> np.ndarray:
        """Moments (2 Z, h, w) of image ``index``, ``mirrored`` or not; float32."""
        index, mirrored = place
        return np.array(self.moments[index, int(mirrored)], dtype=np.float32)


def _read_record(path: Path) -> dict:
    try:
        record = json.loads(path.read_text())
        if missing := _KEYS - record.keys():
            raise ValueError(f'without {sorted(missing)}')
    except (ValueError, AttributeError) as error:
        raise ValueError(
            f'Latents are damaged: {path} is no record ({error}). Remove the folder '
            f'{path.parent} and make them again.'
        ) from error
    return record


def _mapped(path: Path, mode: str, record: dict) -> np.ndarray:
    """The array of a cache, if it is as recorded."""
    try:
        moments = np.load(path, mmap_mode=mode)
        found = [list(moments.shape), moments.dtype.name]
        if found != [record['shape'], record['dtype']]:
            raise ValueError(f'it has the shape {found[0]} and the type {found[1]}')
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(
            f'Latents are damaged: {path} should have the shape {record["shape"]} and '
            f'the type {record["dtype"]} ({error}). Remove the folder {path.parent} '
            'and make them again.'
        ) from error
    return moments


class LatentWriter:
    """Fills a cache, or continues with an incomplete one.

    Args:
        folder: of the cache.
        record: what the latents depend on.
        shape: of the whole array.
        dtype: of the stored numbers.

    Raises:
        ValueError: the folder contains other latents, or damaged ones.
    """

    def __init__(
        self,
        folder: str | Path,
        record: dict,
        shape: tuple[int, ...],
        dtype: str = 'float32',
    ) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.record = dict(record, shape=list(shape), dtype=dtype)
        #: Number of images that are done.
        self.done = 0
        finished, begun = self.folder / _RECORD, self.folder / _PROGRESS
        if finished.is_file():
            self._check(_read_record(finished))
            self.done = shape[0]
        elif begun.is_file():
            progress = _read_record(begun)
            self._check(progress)
            self.done = progress.get('done', 0)
            # A kill while it was finished may have left the array under its name.
            part = self.folder / _PART
            stored = part if part.is_file() else self.folder / _MOMENTS
            self._array = _mapped(stored, 'r+', self.record)
        else:
            self._array = np.lib.format.open_memmap(
                self.folder / _PART, 'w+', dtype, shape
            )
            self._note()

    def _check(self, found: dict) -> None:
        other = sorted(key for key in self.record if found[key] != self.record[key])
        if other:
            raise ValueError(
                f'{self.folder} contains other latents: they differ in '
                f'{", ".join(other)}. Remove the folder, or give another one.'
            )

    def append(self, moments: np.ndarray) -> None:
        """Write the moments of the next images, (B, variants, 2 Z, h, w).

        Raises:
            ValueError: they are NaN or infinite, or too large for the stored type.
        """
        rows = slice(self.done, self.done + len(moments))
        with np.errstate(over='ignore'):
            self._array[rows] = moments
        if not np.isfinite(self._array[rows]).all():
            raise ValueError(
                f'Moments of the images {rows.start} to {rows.stop - 1} are NaN or '
                f'infinite as {self.record["dtype"]}. Check the weights of the first '
                "stage, and use dtype 'float32'."
            )
        self._array.flush()
        self.done += len(moments)
        self._note()

    def _note(self) -> None:
        with atomic_write(self.folder / _PROGRESS) as path:
            path.write_text(json.dumps(dict(self.record, done=self.done)))

    def finish(self) -> None:
        """Give the files their names; a complete cache is left as it is."""
        if not (self.folder / _PROGRESS).is_file():
            return
        part = self.folder / _PART
        if part.is_file():
            part.replace(self.folder / _MOMENTS)
        with atomic_write(self.folder / _RECORD) as path:
            path.write_text(json.dumps(self.record, indent=1))
        (self.folder / _PROGRESS).unlink()
