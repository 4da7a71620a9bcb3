"""Images of a user, without ground truth, as a dataset."""

from collections.abc import Sequence

import numpy as np
from mmengine.dataset import BaseDataset, Compose

from mmadm.registry import DATASETS, TRANSFORMS, build
from mmadm.utils.image_files import pair_by_name
from mmadm.utils.images import read_image, read_mask

from .inference_inputs import (
    ImageInput,
    Inputs,
    entry_of,
    has_name,
    is_folder,
    named_inputs,
)
from .transforms.inference import InferenceMask


@DATASETS.register_module()
class InferenceDataset(BaseDataset):
    """Inputs of inference: images, and masks for inpainting, without ground truth.

    They pass through the pipeline of the test. Transforms of it that read the ground
    truth, or make the condition from it, have a method ``for_inference``: it gets the
    list of the transforms before it, and returns the list that replaces these and
    itself.

    Args:
        images: a file, a folder (searched at any depth), a pattern (``photos/*.png``),
            an address (http), a PIL image, the content of a file as bytes; an array
            (H, W), (H, W, 3), (H, W, 4) or (N, H, W, 3), or a tensor (C, H, W) or
            (N, C, H, W), RGB, of uint8 or of floats in [0, 1]; or a list of these.
            Transparent pixels are composited on white.
        pipeline: that of the test.
        masks: the holes of the images, in the same forms: white in files and PIL
            images; arrays and tensors (H, W) or (N, H, W) of 0 and 1, or 0 and 255. One
            image and one mask belong together. Several files are paired by
            :func:`~mmadm.utils.image_files.pair_by_name`, never by position; what has
            no name, such as an array, by its number in the list.
    """

    def __init__(
        self,
        images: Inputs,
        pipeline: Sequence[dict],
        masks: Inputs | None = None,
    ) -> None:
        self.images, self.masks = images, masks
        super().__init__(test_mode=True, serialize_data=False)
        steps = _for_inference([build(TRANSFORMS, step) for step in pipeline])
        #: Whether the model is for inpainting.
        self.takes_masks = any(isinstance(step, InferenceMask) for step in steps)
        if masks is not None and not self.takes_masks:
            raise ValueError(
                'This model is not for inpainting, but masks are given. Leave them '
                'out, or use a model for inpainting.'
            )
        self.pipeline = Compose([self._read, *steps])

    def load_data_list(self) -> list[dict]:
        """One entry per image: lists in their order, folders sorted.

        Raises:
            FileNotFoundError: a file is missing, or a folder is empty.
            ValueError: there is no image, an array is not an image, or images and
                masks cannot be paired.
        """
        images = named_inputs(self.images)
        if not images:
            raise ValueError(
                'There is no input image: the list is empty. Give a file, a folder or '
                'an array.'
            )
        entries = [dict(name=name, **entry_of('img', x)) for name, x in images.items()]
        if self.masks is not None:
            for entry, mask in zip(entries, self._masks_of(images)):
                entry.update(entry_of('mask', mask))
        return entries

    def _masks_of(self, images: dict[str, ImageInput]) -> list[ImageInput]:
        """The masks in the order of the images."""
        masks = named_inputs(self.masks, are_masks=True)
        folders = is_folder(self.images) or is_folder(self.masks)
        if not folders and (
            len(images) == len(masks) == 1 or _all_arrays(images) or _all_arrays(masks)
        ):
            if len(masks) != len(images):
                raise ValueError(
                    f'Each image needs its mask, but there are {len(images)} images '
                    f'and {len(masks)} masks. Give one mask for each image.'
                )
            return list(masks.values())
        pairs = pair_by_name(images, masks, _source(self.images), _source(self.masks))
        return [mask for _, mask in pairs.values()]

    def _read(self, results: dict) -> dict:
        """Add ``img`` (H, W, 3), the ``mask`` if there is one, and a black map."""
        if 'img_path' in results:
            results['img'] = read_image(results['img_path'], 'color')
        if 'mask_path' in results:
            results['mask'] = read_mask(results['mask_path'])
        size = results['img'].shape[:2]
        results.update(img_shape=size, ori_shape=size)
        results['gt_seg_map'] = np.zeros(size, np.uint8)
        return results

    def prepare_data(self, idx: int) -> dict:
        """Item ``idx`` after the pipeline: the condition, and a sample.

        The sample has no ``gt_img``; its ``ori_shape`` is the size that the ground
        truth would have.
        """
        item = super().prepare_data(idx)
        size = tuple(item['inputs'].pop('image').shape[-2:])
        sample = item['data_samples']
        sample.set_metainfo(dict(ori_shape=size, name=self.data_list[idx]['name']))
        del sample.gt_img
        return item


def _for_inference(steps: Sequence) -> list:
    kept: list = []
    for step in steps:
        replace = getattr(step, 'for_inference', None)
        kept = replace(kept) if replace else [*kept, step]
    return kept


def _all_arrays(images: dict[str, ImageInput]) -> bool:
    return not any(map(has_name, images.values()))


def _source(source: Inputs) -> str:
    return str(source) if has_name(source) else 'the list'
