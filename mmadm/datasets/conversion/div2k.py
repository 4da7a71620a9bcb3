"""DIV2K: overlapping sub-images of the 2K photographs.

A training crop of 512 x 512 needs a quarter of a 2K image; decoding all of it for each
crop would make the GPU wait.
"""

from pathlib import Path

import numpy as np

from mmadm.utils.images import read_image
from mmadm.utils.tiling import windows

from .conversion_utils import (
    begin_conversion,
    check_complete,
    problem_of,
    raise_all,
    run,
    save_image,
)

_NAMES = dict(
    train=[f'{number:04d}' for number in range(1, 801)],
    valid=[f'{number:04d}' for number in range(801, 901)],
)
_SOURCE = 'DIV2K_{}_HR.zip'


def prepare_div2k(
    data_root: str | Path,
    size: int = 768,
    stride: int = 384,
    check_only: bool = False,
    subset: bool = False,
    num_workers: int = 0,
) -> dict[str, int]:
    """Check both folders and cut the training images into sub-images.

    Args:
        data_root: contains ``DIV2K_train_HR`` and ``DIV2K_valid_HR``.
            ``DIV2K_train_HR_sub`` is written beside them.
        size: side of a sub-image; training crops of 512 are cut from it.
        stride: step between sub-images; the last one of a row ends at the border.
        check_only: write nothing.
        subset: accept a part of the images.
        num_workers: threads, 0 for one per core.

    Returns:
        number of images of each kind.

    Raises:
        FileNotFoundError: images are missing.
        ValueError: a file is damaged, or does not belong there; the existing sub-images
            have another size, stride or source.
    """
    root = Path(data_root)
    if not 0 < stride <= size:
        raise ValueError(
            f'Sub-images of {size} pixels every {stride} pixels leave gaps, or never '
            'end. Give 0 < --stride <= --size.'
        )
    images = {
        part: check_complete(
            root / f'DIV2K_{part}_HR', names, subset, _SOURCE.format(part)
        )
        for part, names in _NAMES.items()
    }
    counts = {part: len(found) for part, found in images.items()}
    # Cutting reads the training images.
    unread = [path for found in images.values() for path in found.values()]
    unread = unread if check_only else list(images['valid'].values())
    raise_all(run(unread, problem_of, num_workers, 'Checking'), 'images are wrong')
    if check_only:
        return counts

    folder = root / 'DIV2K_train_HR_sub'
    begin_conversion(
        folder,
        folder,
        dict(size=size, stride=stride),
        {name: [path] for name, path in images['train'].items()},
        lambda path: path.stem.rsplit('_', 3)[0],
        num_workers,
    )

    def cut(path: Path) -> int:
        return _cut(path, folder, size, stride)

    train = images['train'].values()
    counts['sub-images'] = sum(run(train, cut, num_workers, 'Cutting'))
    return counts


def _cut(path: Path, folder: Path, size: int, stride: int) -> int:
    """Write the missing sub-images of one photograph; their number in all."""
    image = read_image(path, 'color')
    pieces = windows(image.shape[:2], size, stride)
    for top, left, height, width in pieces:
        target = folder / f'{path.stem}_{size}_{top:04d}_{left:04d}.png'
        if not target.is_file():
            part = np.ascontiguousarray(image[top : top + height, left : left + width])
            # Fast to read matters, small does not.
            save_image(part, target, compress_level=1)
    return len(pieces)
