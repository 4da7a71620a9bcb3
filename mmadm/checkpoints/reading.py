"""Safe loading of checkpoints: no code runs, corruption is reported."""

import json
import logging
import os
import pickle
import re
import tarfile
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log

from .structure import check_structure, check_tensors


class FormatError(ValueError):
    """A file of another kind than a checkpoint."""


# Files that the user trusts: they may run code.
_trusted: set[Path] = set()

# A file that was read in order to be checked is kept for the one who loads it.
_kept: dict[tuple, dict] = {}


def trust_checkpoint(path: str | Path) -> None:
    """Let this one file run the code that it holds when it is read."""
    _trusted.add(Path(path).resolve())


def read_checkpoint(path: str | Path, keep: bool = False) -> dict:
    """Read a checkpoint to the CPU, without executing anything in it.

    Reads mmadm's files, those of MMEngine with their log history (torch 2.6 or newer),
    plain state dicts and ``.safetensors``. Checksums in the file are compared, so that
    a flipped bit is noticed; types, sizes and numbers of its tensors are checked.

    Args:
        path: the file.
        keep: keep what was read for the next call with this file, which then takes no
            time. One file is kept at most.

    Raises:
        FileNotFoundError: there is no such file.
        MemoryError: the file is larger than the free memory.
        ValueError: the file is truncated or damaged, is no checkpoint, holds objects
            that only running its code would make, or weights that are not finite.
    """
    path = Path(path)
    state = _file_state(path)
    checkpoint = _kept.pop(state, None)
    _kept.clear()
    if checkpoint is None:
        checkpoint = read_file(path)
        check_structure(checkpoint, path)
        # MMEngine would run this text as a Python config when it resumes.
        if isinstance(checkpoint.get('meta'), dict):
            checkpoint['meta'].pop('config', None)
    if keep:
        _kept[state] = checkpoint
    return checkpoint


def _file_state(path: Path) -> tuple:
    """Changes when another file is written under the name."""
    if not path.is_file():
        raise FileNotFoundError(
            f'Checkpoint not found: {path}. Give the path of a .pth file; training '
            'writes them to its work directory.'
        )
    status = os.stat(path)
    return path.resolve(), status.st_mtime_ns, status.st_size, status.st_ino


def read_file(path: str | Path) -> dict:
    """The dict in a file of any program, read as :func:`read_checkpoint` does.

    Of its content only the tensors are checked.
    """
    path = Path(path)
    _file_state(path)
    try:
        _check_format(path)
        check_sums(path)
        content = _load(path)
    except pickle.UnpicklingError as error:
        # Of the advice that torch gives, only the name is of use.
        named = re.search(r'GLOBAL (\S+)', str(error))
        if named is None and not zipfile.is_zipfile(path):
            raise _not_a_checkpoint(path, 'a file of an unknown format') from error
        raise ValueError(
            f'Refused to load {path}: it holds more than tensors and plain data '
            f'({named[1] if named else "objects of Python"}), which only running code '
            'from the file could make. Convert it to a plain state dict where you '
            'trust it; the tools read it with --trust-checkpoint.'
        ) from error
    except EOFError as error:
        raise ValueError(
            f'Checkpoint is truncated or broken: {path} ends after '
            f'{path.stat().st_size} bytes. Copy it again, or use an earlier one of '
            'the same folder.'
        ) from error
    except FormatError:
        raise
    # A damaged file can make its reader fail in any way.
    except Exception as error:
        if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
            raise MemoryError(
                f'Not enough memory to read {path}, a file of '
                f'{path.stat().st_size / 1e6:.1f} MB ({_first_sentence(error)}). Free '
                'some memory, or use a machine with more.'
            ) from error
        raise ValueError(
            f'Checkpoint is truncated or broken: {path} ({_first_sentence(error)}). '
            'Copy it again, or use an earlier one of the same folder.'
        ) from error
    if not isinstance(content, dict):
        raise _not_a_checkpoint(path, f'a file with a {type(content).__name__}')
    check_tensors(content, path)
    return content


def _check_format(path: Path) -> None:
    """Refuse files of other formats by their name, and archives of torch's that lie.

    torch stores its records as they are. A compressed one could be a thousand times
    larger in memory than in the file.
    """
    with path.open('rb') as file:
        head = file.read(8)
    if path.suffix == '.safetensors':
        return
    if head.startswith(b'\x93NUMPY'):
        raise _not_a_checkpoint(path, 'a NumPy array')
    if head.startswith(b'\x89HDF'):
        raise _not_a_checkpoint(path, 'an HDF5 file')
    if head.lstrip().startswith(b'<'):
        raise _not_a_checkpoint(path, 'a web page')
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            _check_archive(archive.infolist(), path)
    elif tarfile.is_tarfile(path):
        raise _not_a_checkpoint(path, 'a tar archive')


def _check_archive(records: list[zipfile.ZipInfo], path: Path) -> None:
    names = [record.filename for record in records]
    if any(re.search(r'(^|/)constants\.pkl$', name) for name in names):
        raise _not_a_checkpoint(path, 'a TorchScript program')
    if names and all(name.endswith('.npy') for name in names):
        raise _not_a_checkpoint(path, 'a NumPy archive')
    if not any(re.search(r'(^|/)data\.pkl$', name) for name in names):
        raise _not_a_checkpoint(path, 'a zip archive')
    size = path.stat().st_size
    if (
        any(record.compress_type != zipfile.ZIP_STORED for record in records)
        or sum(record.file_size for record in records) > size
    ):
        total = sum(record.file_size for record in records)
        raise _not_a_checkpoint(
            path,
            f'a compressed archive of {size / 1e6:.1f} MB that would fill '
            f'{total / 1e6:.1f} MB (torch never compresses)',
        )


def _not_a_checkpoint(path: Path, what: str) -> FormatError:
    return FormatError(
        f'Not a checkpoint: {path} is {what}. Give a file with a state dict, as '
        "torch.save(model.state_dict(), 'file.pth') writes it, or .safetensors."
    )


def check_sums(path: Path) -> None:
    """Compare a file with the checksums that it carries.

    torch's files are zip archives with a CRC-32 per tensor, which torch itself does not
    check; published weights have the start of their SHA-256 in their name.

    Raises:
        OSError: they differ.
    """
    if path.suffix != '.safetensors' and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise OSError(f'wrong checksum of {damaged}')
    named = re.search(r'-([0-9a-f]{8})\.safetensors$', path.name)
    if named and not file_sha256(path).startswith(named[1]):
        raise OSError(f'the SHA-256 is not the {named[1]} of its name')


def file_sha256(path: str | Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    digest = sha256()
    with Path(path).open('rb') as file:
        for block in iter(partial(file.read, 1 << 20), b''):
            digest.update(block)
    return digest.hexdigest()


def read_metadata(path: str | Path) -> dict[str, str]:
    """The metadata of a ``.safetensors`` file; empty where it has none.

    Raises:
        ValueError: the file is no such file.
    """
    size = Path(path).stat().st_size
    with Path(path).open('rb') as file:
        length = int.from_bytes(file.read(8), 'little')
        header = file.read(length) if length < size else b''
    try:
        return dict(json.loads(header).get('__metadata__') or {})
    except (ValueError, AttributeError) as error:
        raise ValueError(
            f'Checkpoint is truncated or broken: {path} has no header of safetensors '
            f'({error}). Copy it again.'
        ) from error


def _load(path: Path) -> Any:
    if path.suffix == '.safetensors':
        from safetensors.torch import load_file

        return dict(state_dict=load_file(path), meta=read_metadata(path))
    if path.resolve() in _trusted:
        print_log(
            f'Reading {path} as you trust it: code in it may run.',
            'current',
            logging.WARNING,
        )
        return torch.load(path, map_location='cpu', weights_only=False)
    try:
        return torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError:
        with _allowing_mmengine():
            return torch.load(path, map_location='cpu', weights_only=True)


class StoredHistory(dict):
    """Plain data in place of MMEngine's ``HistoryBuffer``."""

    def __setstate__(self, state: dict) -> None:
        names = dict(log='_log_history', count='_count_history', length='max_length')
        self['history_buffer'] = {key: state[name] for key, name in names.items()}


def _no_attribute(*_: Any) -> None:
    """In place of ``getattr``, by which such files name methods, and others worse."""


@contextmanager
def _allowing_mmengine() -> Iterator[None]:
    """Allow the files of MMEngine's own hook: log history and NumPy numbers.

    The complete list: names in the file and the objects that replace them here.
    """
    array, number = np.zeros(1), np.float64(0)
    arrays = {
        '_reconstruct': array.__reduce__()[0],
        'scalar': number.__reduce__()[0],
    }
    allowed = {
        'mmengine.logging.history_buffer.HistoryBuffer': StoredHistory,
        'builtins.getattr': _no_attribute,
        'numpy.ndarray': np.ndarray,
        'numpy.dtype': np.dtype,
    }
    for name, function in arrays.items():
        # NumPy 1 and 2 name them differently.
        allowed[f'numpy.core.multiarray.{name}'] = function
        allowed[f'numpy._core.multiarray.{name}'] = function
    numeric = ('bool', 'int32', 'int64', 'float32', 'float64')
    kinds = [type(np.dtype(name)) for name in numeric]
    pairs = [(value, name) for name, value in allowed.items()]
    with torch.serialization.safe_globals([*pairs, *kinds]), warnings.catch_warnings():
        # torch warns of NumPy functions in its own allow list.
        warnings.simplefilter('ignore')
        yield


def _first_sentence(error: Exception) -> str:
    return re.split(r'\n|\. ', str(error).strip())[0][:200]
