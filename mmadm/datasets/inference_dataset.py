"""Images of a user, without ground truth, as a dataset."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.dataset import BaseDataset, Compose

from mmadm.registry import DATASETS, TRANSFORMS, build
from mmadm.utils.image_files import file_name, list_images, pair_by_name
from mmadm.utils.images import read_image, read_mask

from .transforms.inference import InferenceMask

#: One image: a file, or an array.
ImageInput = str | Path | np.ndarray


@DATASETS.register_module()
class InferenceDataset(BaseDataset):
    """Inputs of inference: images, and masks for inpainting, without ground truth.

    They pass through the pipeline of the test. Transforms of it that read the ground
    truth, or make the condition from it, have a method ``for_inference``: it gets the
    list of the transforms before it, and returns the list that replaces these and
    itself.

    Args:
        images: a file, a folder (searched at any depth), an array (H, W, 3) or (H, W),
            uint8, RGB; or a list of files and arrays.
        pipeline: that of the test.
        masks: the holes of the images, in the same form: files (white = hole) or
            arrays (H, W) of 0 and 1, or 0 and 255. One image and one mask belong
            together. Several files are paired by
            :func:`~mmadm.utils.image_files.pair_by_name`, never by position; arrays,
            which have no names, by their number in the list.
    """

    def __init__(
        self,
        images: ImageInput | Sequence[ImageInput],
        pipeline: Sequence[dict],
        masks: ImageInput | Sequence[ImageInput] | None = None,
    ) -> None:
        self.images, self.masks = images, masks
        super().__init__(test_mode=True, serialize_data=False)
        steps = _for_inference([build(TRANSFORMS, step) for step in pipeline])
        if masks is not None and not any(isinstance(s, InferenceMask) for s in steps):
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
        images = _named(self.images)
        if not images:
            raise ValueError(
                'There is no input image: the list is empty. Give a file, a folder or '
                'an array.'
            )
        entries = [dict(name=name, **_entry('img', x)) for name, x in images.items()]
        if self.masks is not None:
            for entry, mask in zip(entries, self._masks_of(images)):
                entry.update(_entry('mask', mask))
        return entries

    def _masks_of(self, images: dict[str, ImageInput]) -> list[ImageInput]:
        """The masks in the order of the images."""
        masks = _named(self.masks)
        folders = _is_folder(self.images) or _is_folder(self.masks)
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


def _is_folder(source: ImageInput | Sequence[ImageInput]) -> bool:
    return isinstance(source, str | Path) and Path(source).is_dir()


def _all_arrays(images: dict[str, ImageInput]) -> bool:
    return not any(isinstance(image, str | Path) for image in images.values())


def _source(source: ImageInput | Sequence[ImageInput]) -> str:
    return str(source) if isinstance(source, str | Path) else 'the list'


def _named(source: ImageInput | Sequence[ImageInput]) -> dict[str, ImageInput]:
    """Each image by a unique name: its path below the common folder, or its number."""
    if _is_folder(source):
        paths = list_images(source, advice='Give a folder of images.')
        # Two files that differ in the suffix alone are two images.
        items = [(file_name(source, path), path) for path in paths]
    else:
        images = source if isinstance(source, list | tuple) else [source]
        files = [os.path.abspath(x) for x in images if isinstance(x, str | Path)]
        folder = os.path.commonpath(map(os.path.dirname, files)) if files else ''
        items = [(_name(x, i, folder), x) for i, x in enumerate(images)]
    named: dict[str, ImageInput] = {}
    for i, (name, item) in enumerate(items):
        while name in named:
            name = f'{name}_{i:06d}'
        named[name] = item
    return named


def _name(image: ImageInput, index: int, folder: str) -> str:
    if not isinstance(image, str | Path):
        return f'{index:06d}'
    return file_name(folder, Path(os.path.abspath(image)))


def _entry(key: str, image: ImageInput) -> dict:
    """The path of an existing file, or an array in the form of the pipeline."""
    if isinstance(image, str | Path):
        if not Path(image).is_file():
            raise FileNotFoundError(
                f'Image not found: {image}. Give the path of an image file, or of a '
                'folder of them.'
            )
        return {f'{key}_path': str(image)}
    return {key: _as_mask(image) if key == 'mask' else _as_image(image)}


def _as_image(array: np.ndarray) -> np.ndarray:
    """A colour image (H, W, 3) of one that may be grey."""
    grey = getattr(array, 'ndim', 0) == 2
    shape = (*array.shape, 3) if grey else getattr(array, 'shape', ())
    if len(shape) != 3 or shape[2] != 3 or array.dtype != np.uint8 or not array.size:
        raise ValueError(
            f'Not an image: {_described(array)}. Give a path, or an array (H, W, 3) '
            'or (H, W) of uint8, RGB.'
        )
    return np.broadcast_to(array[..., None], shape) if grey else array


def _as_mask(array: np.ndarray) -> np.ndarray:
    """A mask (H, W) of bool."""
    values = np.unique(array) if isinstance(array, np.ndarray) else ()
    if not (len(values) and ({*values} <= {0, 1} or {*values} <= {0, 255})):
        raise ValueError(
            f'Not a mask: {_described(array)}. Give a path, or an array (H, W) of 0 '
            'and 1, or of 0 and 255 (255 = hole).'
        )
    return array > 0


def _described(array: object) -> str:
    if not isinstance(array, np.ndarray):
        return f'a {type(array).__name__}'
    return f'an array of {array.dtype} {array.shape}'
