"""Lines of one pixel's width: MATLAB's ``bwmorph(map, 'thin', Inf)``."""

import numpy as np

from .jit import compiled

# (row, column) steps to x1 ... x8 of Guo and Hall, counter-clockwise from the east.
_NEIGHBOURS = np.array(
    [(0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1)]
)


def _removable(code: int, first: bool) -> bool:
    """Whether a pixel with these neighbours is removed (Guo and Hall, 1989, A1).

    Args:
        code: the eight neighbours; x1 is the lowest bit.
        first: the sub-iteration.
    """
    x1, x2, x3, x4, x5, x6, x7, x8 = (bool(code >> i & 1) for i in range(8))
    # G1: it does not connect two lines.
    crossings = (
        (not x1 and (x2 or x3))
        + (not x3 and (x4 or x5))
        + (not x5 and (x6 or x7))
        + (not x7 and (x8 or x1))
    )
    # G2: it is neither the end of a line nor inside an area.
    n1 = (x1 or x2) + (x3 or x4) + (x5 or x6) + (x7 or x8)
    n2 = (x2 or x3) + (x4 or x5) + (x6 or x7) + (x8 or x1)
    # G3: the first pass removes from one side, the second from the other.
    before, after, across, here = (x2, x3, x8, x1) if first else (x6, x7, x4, x5)
    kept = (before or after or not across) and here
    return crossings == 1 and 2 <= min(n1, n2) <= 3 and not kept


_TABLES = np.array(
    [[_removable(code, first) for code in range(256)] for first in (True, False)]
)


def thin(edges: np.ndarray) -> np.ndarray:
    """Thin a boolean map (H, W) until nothing changes.

    Equal to ``skimage.morphology.thin``, many times as fast.
    """
    padded = np.pad(np.asarray(edges, np.bool_, order='C'), 1)
    steps = _NEIGHBOURS @ np.array([padded.shape[1], 1])
    _thin(padded.reshape(-1), steps, _TABLES)
    return padded[1:-1, 1:-1]


@compiled
def _thin(edges, steps, tables):
    """Thins a flat map in place; its frame is empty."""
    left = np.flatnonzero(edges)
    changed = True
    while changed:
        changed = False
        for table in tables:
            # All decisions of a pass depend on the map before the pass.
            gone = np.zeros(len(left), np.bool_)
            for i in range(len(left)):
                code = 0
                for n in range(8):
                    code |= np.int64(edges[left[i] + steps[n]]) << n
                gone[i] = table[code]
            edges[left[gone]] = False
            changed |= gone.any()
            left = left[~gone]
