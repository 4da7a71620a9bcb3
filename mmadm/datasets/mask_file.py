"""Test masks of inpainting in one JSON file, as compressed run lengths of COCO.

``{"info": {..., "sha256": ...}, "masks": {name: {"size": [H, W], "counts": ...}}}``;
the name is the image's path in its folder without suffix, 1 = hole.
"""

import hashlib
import json
from pathlib import Path

import numpy as np

from mmadm.utils.files import atomic_write

from . import coco_masks

_TOOL = 'tools/dataset_converters/inpainting_masks.py'


def decode(entry: dict) -> np.ndarray:
    """The mask (H, W), uint8, of an entry."""
    return coco_masks.decode(entry, entry['size'])


def hole_fraction(masks: dict[str, dict]) -> float:
    """Mean fraction of the images that is hidden."""
    return float(np.mean([decode(entry).mean() for entry in masks.values()]))


def digest(masks: dict[str, dict]) -> str:
    """SHA-256 over names and masks, in any order."""
    lines = (f'{n} {masks[n]["size"]} {masks[n]["counts"]}\n' for n in sorted(masks))
    return hashlib.sha256(''.join(lines).encode()).hexdigest()


def write_masks(path: str | Path, masks: dict[str, dict], **info) -> str:
    """Write a file of masks and return its digest.

    Args:
        path: an earlier file of masks is replaced, and no other file.
        masks: entries by name.
        info: written beside the masks.

    Raises:
        ValueError: the path is a file of another kind.
    """
    if Path(path).exists() and not _is_mask_file(path):
        raise ValueError(
            f'{path} exists and is not a file of test masks. Remove it, or give '
            'another path.'
        )
    info['sha256'] = digest(masks)
    with atomic_write(path) as part:
        part.write_text(json.dumps(dict(info=info, masks=masks)))
    return info['sha256']


def _is_mask_file(path: str | Path) -> bool:
    try:
        return {'info', 'masks'} <= json.loads(Path(path).read_text()).keys()
    except (ValueError, OSError, AttributeError):
        return False


def read_masks(path: str | Path) -> dict[str, dict]:
    """The entries by name.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: it is not a file of masks, has a damaged one, or was changed.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f'File of test masks not found: {path}. Make it with {_TOOL}.'
        )
    try:
        data = json.loads(path.read_text())
        masks, expected = data['masks'], data['info']['sha256']
        for entry in masks.values():
            coco_masks.check(entry, entry['size'])
        found = digest(masks)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f'Not a file of test masks: {path} ({type(error).__name__}: {error}). Make '
            f'it again with {_TOOL}.'
        ) from error
    if found != expected:
        raise ValueError(
            f'Test masks were changed: {path} says sha256 {expected[:12]}..., its '
            f'masks have {found[:12]}.... Make it again with {_TOOL}.'
        )
    return masks
