"""Compilation of loops over pixels."""

from collections.abc import Callable

from numba import njit


def compiled(function: Callable) -> Callable:
    """Compiles a function without the interpreter lock, cached on disk if possible.

    Numba caches beside the source, in the user's cache folder, or in
    ``NUMBA_CACHE_DIR``; where none of them can be written, each process compiles anew.
    """
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:
        return njit(nogil=True)(function)
