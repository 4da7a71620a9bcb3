"""The ground truth of BSDS500."""

import zlib
from pathlib import Path

import numpy as np


def read_boundaries(path: str | Path) -> np.ndarray:
    """The boundaries that each annotator drew.

    Args:
        path: a ``.mat`` file of the official release: a cell ``groundTruth`` with one
            struct per annotator, each with the map ``Boundaries``.

    Returns:
        (A, H, W), uint8, 1 on a boundary.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is broken, is something else, or has no annotator.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f'Ground truth not found: {path}. Give a .mat file of BSDS500/data/'
            'groundTruth.'
        )
    try:
        # One cell per annotator, each a 1 x 1 struct.
        cells = loadmat(path)['groundTruth'].flatten()
        maps = [cell['Boundaries'][0, 0] for cell in cells]
        boundaries = np.stack(maps)
    # What SciPy raises on broken files depends on where they are broken.
    except (MatReadError, *_BROKEN) as error:
        raise ValueError(
            f'No ground truth of BSDS500: {path} ({type(error).__name__}: {error}). It '
            'should be a MATLAB file with groundTruth{k}.Boundaries, all of one size; '
            'unpack the release again.'
        ) from error
    if boundaries.ndim != 3:
        raise ValueError(
            f'No ground truth of BSDS500: the boundaries in {path} have the shape '
            f'{boundaries.shape[1:]}. They should be maps; unpack the release again.'
        )
    return (boundaries != 0).astype(np.uint8)


_BROKEN = (
    KeyError,
    IndexError,
    TypeError,
    ValueError,
    NotImplementedError,
    OSError,
    zlib.error,
)
