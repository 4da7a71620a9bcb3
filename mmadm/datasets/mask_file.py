"""Test masks in one JSON file, as COCO run lengths: small, exact, comparable.

``{"info": {..., "sha256": ...}, "masks": {name: {"size": [H, W], "counts": ...}}}``;
the name is that of the image file without suffix, 1 = hole.
"""

import hashlib
import json
from pathlib import Path

import numpy as np

from mmadm.utils.files import atomic_write

_TOOL = 'tools/dataset_converters/inpainting_masks.py'


def encode(mask: np.ndarray) -> dict:
    """A mask (H, W) as an entry of the file."""
    from pycocotools import mask as coco

    entry = coco.encode(np.asfortranarray(mask, np.uint8))
    return dict(size=list(mask.shape), counts=entry['counts'].decode())


def decode(entry: dict) -> np.ndarray:
    """The mask (H, W), uint8, of an entry."""
    from pycocotools import mask as coco

    return coco.decode(entry)


def hole_share(masks: dict[str, dict]) -> float:
    """Mean share of the images that is hidden."""
    return float(np.mean([decode(entry).mean() for entry in masks.values()]))


def digest(masks: dict[str, dict]) -> str:
    """SHA-256 over names and masks: equal sets of masks have equal ones."""
    lines = (f'{n} {masks[n]["size"]} {masks[n]["counts"]}\n' for n in sorted(masks))
    return hashlib.sha256(''.join(lines).encode()).hexdigest()


def write_masks(path: str | Path, masks: dict[str, dict], **info) -> str:
    """Write the file at once or not at all; returns the digest."""
    info['sha256'] = digest(masks)
    with atomic_write(path) as part:
        part.write_text(json.dumps(dict(info=info, masks=masks)))
    return info['sha256']


def read_masks(path: str | Path) -> dict[str, dict]:
    """The entries by name.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no file of masks, or was changed.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f'File of test masks not found: {path}. Make it with {_TOOL}.'
        )
    try:
        data = json.loads(path.read_text())
        masks, expected = data['masks'], data['info']['sha256']
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
