"""Ground truth of BSDS500."""

from pathlib import Path
from typing import Any

import numpy as np

from .mat_file import read_variable


def read_boundaries(path: str | Path) -> np.ndarray:
    """The boundaries that each annotator drew.

    Args:
        path: a ``.mat`` file of the official release: a cell ``groundTruth`` with one
            struct per annotator, each with the map ``Boundaries``.

    Returns:
        (A, H, W), uint8, 1 on a boundary.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: it is damaged, of another kind, or has no annotator.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f'Ground truth not found: {path}. Give a .mat file of BSDS500/data/'
            'groundTruth.'
        )
    try:
        return _stack(read_variable(path, 'groundTruth'))
    except (ValueError, OSError) as error:
        raise ValueError(
            f'No ground truth of BSDS500: {path} ({error}). It should be a MATLAB file '
            'with groundTruth{k}.Boundaries, all of one size; unpack the release again.'
        ) from error


def _stack(cells: np.ndarray | None) -> np.ndarray:
    maps = [_map(cell) for cell in ([] if cells is None else cells.flat)]
    shapes = {getattr(map_, 'shape', None) for map_ in maps}
    if len(shapes) != 1 or len(shape := shapes.pop() or ()) != 2 or 0 in shape:
        raise ValueError('groundTruth is not a cell of structs with maps of one size')
    boundaries = np.stack(maps)
    if boundaries.dtype == object or not np.isfinite(boundaries).all():
        raise ValueError('Boundaries are not finite numbers')
    return (boundaries != 0).astype(np.uint8)


def _map(cell: Any) -> Any:
    """The field of a 1 x 1 struct."""
    content = cell.item() if isinstance(cell, np.ndarray) and cell.size == 1 else None
    return content.get('Boundaries') if isinstance(content, dict) else None
