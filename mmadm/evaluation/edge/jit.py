"""How the loops over pixels are compiled."""

from collections.abc import Callable

from numba import njit


def compiled(function: Callable) -> Callable:
    """Machine code that runs beside other threads, kept on disk where that is possible.

    Numba keeps it beside the source, or in the user's cache folder, or in
    ``NUMBA_CACHE_DIR``; where none of them can be written, each process compiles anew.
    """
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:
        return njit(nogil=True)(function)
