"""Reading checkpoints: nothing in the file runs, and damage is said."""

import logging
import pickle
import re
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

# The files of which the user said that they may run code.
_trusted: set[Path] = set()


def trust_checkpoint(path: str | Path) -> None:
    """Let this one file run the code that it holds when it is read."""
    _trusted.add(Path(path).resolve())


def read_checkpoint(path: str | Path) -> dict:
    """A checkpoint on the CPU, without executing anything in it.

    Reads mmadm's files, those of MMEngine with their log history (torch 2.6 or newer),
    plain state dicts and ``.safetensors``. The checksums in the file are compared, so
    that a flipped bit is noticed.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is truncated or damaged, is no checkpoint, or holds
            objects that only running its code would make.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f'Checkpoint not found: {path}. Give the path of a .pth file; training '
            'writes them to its work directory.'
        )
    try:
        check_sums(path)
        checkpoint = _load(path)
    except pickle.UnpicklingError as error:
        # Of the advice that torch gives, only the name tells something.
        named = re.search(r'GLOBAL (\S+)', str(error))
        if named is None and not zipfile.is_zipfile(path):
            raise ValueError(
                f"Not a checkpoint: {path} is no file of torch's. Look whether it is "
                'a page of the web saved by mistake, or another program wrote it.'
            ) from error
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
    # A damaged file can make its reader fail in any way.
    except Exception as error:
        raise ValueError(
            f'Checkpoint is truncated or broken: {path} ({_first_sentence(error)}). '
            'Copy it again, or use an earlier one of the same folder.'
        ) from error
    if not isinstance(checkpoint, dict):
        raise ValueError(
            f'Not a checkpoint: {path} holds a {type(checkpoint).__name__}. Give a '
            'file with a state dict.'
        )
    # MMEngine would run this text as a Python config when it resumes.
    if isinstance(checkpoint.get('meta'), dict):
        checkpoint['meta'].pop('config', None)
    return checkpoint


def check_sums(path: Path) -> None:
    """Compare a file with the checksums that it carries.

    torch's files are zip archives with a CRC-32 per tensor, which torch itself does not
    look at; published weights have their SHA-256 in their name.

    Raises:
        OSError: they differ.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise OSError(f'wrong checksum of {damaged}')
    named = re.search(r'-([0-9a-f]{8})\.safetensors$', path.name)
    if named and not file_sha256(path).startswith(named[1]):
        raise OSError(f'the SHA-256 is not the {named[1]} of its name')


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    digest = sha256()
    with path.open('rb') as file:
        for part in iter(partial(file.read, 1 << 20), b''):
            digest.update(part)
    return digest.hexdigest()


def _load(path: Path) -> Any:
    if path.suffix == '.safetensors':
        from safetensors import safe_open
        from safetensors.torch import load_file

        with safe_open(path, 'pt') as file:
            meta = file.metadata() or {}
        return dict(state_dict=load_file(path), meta=meta)
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
    """What MMEngine's ``HistoryBuffer`` becomes when it is read: plain data."""

    def __setstate__(self, state: dict) -> None:
        names = dict(log='_log_history', count='_count_history', length='max_length')
        self['history_buffer'] = {key: state[name] for key, name in names.items()}


def _no_attribute(*_: Any) -> None:
    """In place of ``getattr``, by which such files name methods, and others worse."""


@contextmanager
def _allowing_mmengine() -> Iterator[None]:
    """Let the files of MMEngine's own hook be read: log history and NumPy numbers.

    The complete list: names in the file and what stands for them here.
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
