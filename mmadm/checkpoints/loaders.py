"""Safe loaders for MMEngine: what it loads, it loads by our reader.

MMEngine reads checkpoints with pickle, which runs code from the file. Nothing is
replaced by an import: a tool calls :func:`install_safe_loaders`, a library call is
wrapped in :func:`safe_loaders`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .reading import read_checkpoint
from .zoo import find_weights

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
    for scheme in ('', 'http://', 'https://'):
        CheckpointLoader.register_scheme(scheme, _read_any, force=True)


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


def _read_any(filename: str, map_location: Any = None) -> dict:
    """A file, an address, or the name of a shipped model."""
    return read_checkpoint(find_weights(filename))


def _refuse_scheme(filename: str, map_location: Any = None) -> dict:
    raise ValueError(
        f'Checkpoints are not read from {filename.split("://")[0]}://, as that could '
        f'run code: {filename}. Download the file and give its path.'
    )
