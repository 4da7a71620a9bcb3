"""Safe loaders for MMEngine: what it loads, it loads by our reader.

MMEngine reads checkpoints with pickle, which runs code from the file. Nothing is
replaced by an import: a tool calls :func:`install_safe_loaders`, a library call is
wrapped in :func:`safe_loaders`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import barrier, is_main_process

from .reading import read_checkpoint

# MMEngine's own loaders while ours are installed.
_original: dict[str, Callable] | None = None


def install_safe_loaders() -> None:
    """Let everything that loads through MMEngine use our reader, in this process.

    These are ``resume``, ``load_from`` and ``init_cfg``.
    """
    from mmengine.runner import CheckpointLoader

    global _original
    if _original is not None:
        return
    # There is no public way to read or restore MMEngine's table of loaders.
    _original = CheckpointLoader._schemes.copy()
    for scheme in _original:
        CheckpointLoader.register_scheme(scheme, _refuse_scheme, force=True)
    CheckpointLoader.register_scheme('', _read_local, force=True)
    CheckpointLoader.register_scheme(['http://', 'https://'], _read_url, force=True)


def restore_loaders() -> None:
    """Undo :func:`install_safe_loaders`."""
    from mmengine.runner import CheckpointLoader

    global _original
    if _original is not None:
        CheckpointLoader._schemes = _original
        _original = None


@contextmanager
def safe_loaders() -> Iterator[None]:
    """Safe loaders within a block; the loaders of before are restored after it."""
    nested = _original is not None
    install_safe_loaders()
    try:
        yield
    finally:
        if not nested:
            restore_loaders()


def _read_local(filename: str, map_location: Any = None) -> dict:
    return read_checkpoint(Path(filename).expanduser())


def _read_url(url: str, map_location: Any = None) -> dict:
    """MMEngine's loader of addresses: downloaded once, then read like a file."""
    path = Path(torch.hub.get_dir(), 'checkpoints', Path(url).name)
    if is_main_process() and not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path))
    barrier()
    return read_checkpoint(path)


def _refuse_scheme(filename: str, map_location: Any = None) -> dict:
    raise ValueError(
        f'Checkpoints are not read from {filename.split("://")[0]}://, as that could '
        f'run code: {filename}. Download the file and give its path.'
    )
