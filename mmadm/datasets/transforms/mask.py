"""Which pixels are to be painted: ``mask`` (H, W, 1), uint8, 1 = hole."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from mmcv.transforms import BaseTransform

from mmadm.datasets.mask_file import decode, read_masks
from mmadm.datasets.masks import MASKS, check_kind
from mmadm.registry import TRANSFORMS

from .inference import InferenceMask

_ADVICE = (
    'Make the masks of these images with tools/dataset_converters/inpainting_masks.py.'
)


@TRANSFORMS.register_module()
class RandomMask(BaseTransform):
    """Another hole each time, for training.

    Required keys: ``img``. Added keys: ``mask``.

    Args:
        kind: LaMa's 'thin', 'medium' or 'thick' (for images of about 256 pixels), or
            'free_form', what ADM's authors train with.
    """

    def __init__(
        self, kind: Literal['thin', 'medium', 'thick', 'free_form'] = 'free_form'
    ) -> None:
        check_kind(kind)
        self.draw = MASKS[kind]

    def transform(self, results: dict) -> dict:
        """Add the mask."""
        # NumPy's global state is what the data set seeds.
        rng = np.random.default_rng(np.random.randint(2**32, size=4, dtype=np.uint32))
        results['mask'] = self.draw(results['img'].shape[:2], rng)[..., None]
        return results

    def for_inference(self, before: list) -> list:
        """The user draws."""
        return [*before, InferenceMask()]


@TRANSFORMS.register_module()
class FixedMask(BaseTransform):
    """The hole that a file has for this image, for validation and test.

    Required keys: ``img``, ``img_path``. Added keys: ``mask``.

    Args:
        ann_file: written by ``tools/dataset_converters/inpainting_masks.py``; images
            are found in it by their file name without suffix.
    """

    def __init__(self, ann_file: str) -> None:
        self.ann_file = ann_file

    @cached_property
    def masks(self) -> dict[str, dict]:
        """The entries of the file, which is read when it is needed."""
        return read_masks(self.ann_file)

    def check_paths(self, paths: Sequence[str]) -> None:
        """Notice missing masks before the first image is read.

        Raises:
            ValueError: an image has none.
        """
        missing = [path for path in paths if Path(path).stem not in self.masks]
        if missing:
            raise ValueError(
                f'No mask in {self.ann_file} for {len(missing)} of {len(paths)} '
                f'images, for instance {missing[:3]}. {_ADVICE}'
            )

    def transform(self, results: dict) -> dict:
        """Add the mask.

        Raises:
            ValueError: there is no mask for the image, or one of another size.
        """
        path = results['img_path']
        self.check_paths([path])
        entry = self.masks[Path(path).stem]
        size = results['img'].shape[:2]
        if tuple(entry['size']) != size:
            raise ValueError(
                f'No fitting mask for {path} of {size[0]}x{size[1]}: in '
                f'{self.ann_file} it has the size {entry["size"]}. {_ADVICE}'
            )
        results['mask'] = decode(entry)[..., None]
        return results

    def for_inference(self, before: list) -> list:
        """The user draws."""
        return [*before, InferenceMask()]
