"""A folder with what a frozen first stage says of each training image.

``moments.npy``: (images, variants, 2 Z, h, w), means and log-variances; variant 1 is
the mirrored image. ``latents.json``: from which images and which weights they come. It
is written last, so where it is, the cache is whole.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from torch import nn

from .files import atomic_write

_MOMENTS, _PART = 'moments.npy', '.moments.part.npy'
_RECORD, _PROGRESS = 'latents.json', '.progress.json'


def weights_hash(module: nn.Module) -> str:
    """SHA-256 over names, types, shapes and values of the weights of ``module``."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        tensor = tensor.detach().cpu().contiguous()
        digest.update(f'{name} {tensor.dtype} {tuple(tensor.shape)} '.encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class LatentCache:
    """A finished cache, mapped into memory: only what is asked for is read.

    Args:
        folder: where ``cache_latents.py`` wrote it.

    Raises:
        FileNotFoundError: there is none, or it is not finished.
        ValueError: its files do not belong together.
    """

    def __init__(self, folder: str | Path) -> None:
        folder = Path(folder)
        if not (folder / _RECORD).is_file():
            unfinished = (folder / _PROGRESS).is_file()
            raise FileNotFoundError(
                f'{"Latents are not finished" if unfinished else "No latents"} in '
                f'{folder}. Run tools/dataset_converters/cache_latents.py with this '
                'config; it goes on where it stopped.'
            )
        self.record: dict = json.loads((folder / _RECORD).read_text())
        self.moments = np.load(folder / _MOMENTS, mmap_mode='r')
        if list(self.moments.shape) != self.record['shape']:
            raise ValueError(
                f'Latents are broken: {folder / _MOMENTS} has the shape '
                f'{self.moments.shape}, {_RECORD} says {self.record["shape"]}. Remove '
                'the folder and make them again.'
            )

    def __getitem__(self, place: tuple[int, bool]) -> np.ndarray:
        """Moments (2 Z, h, w) of image ``index``, ``mirrored`` or not; float32."""
        index, mirrored = place
        return np.array(self.moments[index, int(mirrored)], dtype=np.float32)


class LatentWriter:
    """Fills a cache, and goes on with an unfinished one.

    Args:
        folder: where it goes.
        record: what the latents depend on.
        shape: of the whole array.
        dtype: in which numbers are stored.

    Raises:
        ValueError: the folder has other latents in it.
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
        #: Images that are done.
        self.done = 0
        finished, begun = self._read(_RECORD), self._read(_PROGRESS)
        if finished is not None:
            self._check(finished)
            self.done = shape[0]
        elif begun is not None:
            self.done = begun.pop('done')
            self._check(begun)
            # A kill while it was finished may have left the array under its name.
            part = self.folder / _PART
            stored = part if part.is_file() else self.folder / _MOMENTS
            self._array = np.load(stored, mmap_mode='r+')
        else:
            self._array = np.lib.format.open_memmap(
                self.folder / _PART, 'w+', dtype, shape
            )
            self._note()

    def _read(self, name: str) -> dict | None:
        path = self.folder / name
        return json.loads(path.read_text()) if path.is_file() else None

    def _check(self, found: dict) -> None:
        other = sorted(key for key in self.record if found.get(key) != self.record[key])
        if other:
            raise ValueError(
                f'{self.folder} has other latents in it: they differ in '
                f'{", ".join(other)}. Remove the folder, or give another one.'
            )

    def append(self, moments: np.ndarray) -> None:
        """The moments of the next images, (B, variants, 2 Z, h, w)."""
        self._array[self.done : self.done + len(moments)] = moments
        self._array.flush()
        self.done += len(moments)
        self._note()

    def _note(self) -> None:
        with atomic_write(self.folder / _PROGRESS) as path:
            path.write_text(json.dumps(dict(self.record, done=self.done)))

    def finish(self) -> None:
        """Give the files their names; nothing happens to a finished cache."""
        if not (self.folder / _PROGRESS).is_file():
            return
        part = self.folder / _PART
        if part.is_file():
            part.replace(self.folder / _MOMENTS)
        with atomic_write(self.folder / _RECORD) as path:
            path.write_text(json.dumps(self.record, indent=1))
        (self.folder / _PROGRESS).unlink()
