"""Transforms that add the mask of inpainting: ``mask`` (H, W, 1), uint8, 1 = hole."""

import zlib
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

import numpy as np
from mmcv.transforms import BaseTransform

from mmadm.datasets.mask_file import decode, read_masks
from mmadm.datasets.masks import MASKS, check_kind, scored_mask
from mmadm.registry import TRANSFORMS

from .inference import InferenceMask

_ADVICE = (
    'Make the masks of these images with tools/dataset_converters/inpainting_masks.py.'
)


@TRANSFORMS.register_module()
class RandomMask(BaseTransform):
    """Draws a new random mask each time, for training.

    Required keys: ``img``. Added keys: ``mask``.

    Args:
        kind: LaMa's 'thin', 'medium' or 'thick' (for images of about 256 pixels), or
            'free_form', which the authors of ADM train with.
        max_hole: largest fraction of the image that is hidden. In images smaller than
            256 pixels LaMa's strokes hide most of the image; 0.5 draws holes like those
            of a test set (:func:`~mmadm.datasets.masks.scored_mask`).
    """

    def __init__(
        self,
        kind: Literal['thin', 'medium', 'thick', 'free_form'] = 'free_form',
        max_hole: float = 1.0,
    ) -> None:
        check_kind(kind)
        if not 0 < max_hole <= 1:
            raise ValueError(
                'The largest hole is a fraction of the image in (0, 1], but '
                f'max_hole={max_hole}. Give 0.5, or 1 for masks as they are drawn.'
            )
        self.kind = kind
        self.draw = MASKS[kind]
        if max_hole < 1:
            self.draw = partial(scored_mask, kind, max_hole=max_hole)

    def transform(self, results: dict) -> dict:
        """Add the mask."""
        # The dataset seeds NumPy's global generator.
        rng = np.random.default_rng(np.random.randint(2**32, size=4, dtype=np.uint32))
        results['mask'] = self.draw(results['img'].shape[:2], rng)[..., None]
        return results

    def for_inference(self, before: list) -> list:
        """The mask of the user."""
        return [*before, InferenceMask()]


@TRANSFORMS.register_module()
class NamedMask(BaseTransform):
    """Draws the mask that belongs to the name of an image, for tests without a file.

    The same name and size always have the same hole, which covers at most half of the
    image. Published scores use files of masks instead, see :class:`FixedMask`.

    Required keys: ``img``, ``name``. Added keys: ``mask``.

    Args:
        kind: see :class:`RandomMask`.
    """

    def __init__(
        self, kind: Literal['thin', 'medium', 'thick', 'free_form'] = 'medium'
    ) -> None:
        check_kind(kind)
        self.kind = kind

    def transform(self, results: dict) -> dict:
        """Add the mask."""
        rng = np.random.default_rng(zlib.crc32(results['name'].encode()))
        size = results['img'].shape[:2]
        results['mask'] = scored_mask(self.kind, size, rng)[..., None]
        return results

    def for_inference(self, before: list) -> list:
        """The mask of the user."""
        return [*before, InferenceMask()]


@TRANSFORMS.register_module()
class FixedMask(BaseTransform):
    """Takes the fixed mask of an image from a file, for validation and test.

    Required keys: ``img``, ``img_path``. Added keys: ``mask``.

    Args:
        ann_file: written by ``tools/dataset_converters/inpainting_masks.py``; masks
            are found by the path of the image below its folder, or else by its file
            name, without suffix.
    """

    def __init__(self, ann_file: str) -> None:
        self.ann_file = ann_file

    @cached_property
    def masks(self) -> dict[str, dict]:
        """The entries of the file, read at the first use."""
        return read_masks(self.ann_file)

    def check_entries(self, entries: Sequence[dict]) -> None:
        """Report missing masks before the first image is read.

        Args:
            entries: of the dataset, with ``img_path`` and ``name``.

        Raises:
            ValueError: an image has no mask, or two images have the same one.
        """
        users: dict[str, str] = {}
        missing = []
        for entry in entries:
            path, key = entry['img_path'], self._key(entry)
            if key not in self.masks:
                missing.append(path)
            elif key in users:
                raise ValueError(
                    f'Two images have the same mask in {self.ann_file}: {users[key]} '
                    f'and {path}. {_ADVICE}'
                )
            users[key] = path
        if missing:
            raise ValueError(
                f'No mask in {self.ann_file} for {len(missing)} of {len(entries)} '
                f'images, for instance {missing[:3]}. {_ADVICE}'
            )

    def _key(self, entry: dict) -> str:
        """The name of an image in the file."""
        stem = Path(entry['img_path']).stem
        name = entry.get('name', stem)
        return name if name in self.masks else stem

    def transform(self, results: dict) -> dict:
        """Add the mask.

        Raises:
            ValueError: there is no mask for the image, or one of another size.
        """
        path = results['img_path']
        self.check_entries([results])
        entry = self.masks[self._key(results)]
        size = results['img'].shape[:2]
        if tuple(entry['size']) != size:
            raise ValueError(
                f'No fitting mask for {path} of {size[0]}x{size[1]}: in '
                f'{self.ann_file} it has the size {entry["size"]}. {_ADVICE}'
            )
        results['mask'] = decode(entry)[..., None]
        return results

    def for_inference(self, before: list) -> list:
        """The mask of the user."""
        return [*before, InferenceMask()]
