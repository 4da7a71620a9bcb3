"""Pictures that a user gives: the answer is unknown."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.dataset import BaseDataset, Compose

from mmadm.registry import DATASETS, TRANSFORMS, build

from .image_dataset import check_pairs, list_images
from .transforms.given import GivenMask
from .transforms.loading import read_image

#: One picture: a file, or an array.
Given = str | Path | np.ndarray


@DATASETS.register_module()
class GivenPictures(BaseDataset):
    """Pictures to be answered, without a truth.

    Prepares them as a test prepares its own. Of the transforms of the test, those that
    read the truth, or make the condition of it, have a method ``without_truth``: it
    gets the transforms before them and returns what stands for these and for itself.

    Args:
        pictures: a file, a folder (with all below it), an array (H, W, 3) or (H, W),
            uint8, RGB; or a list of files and arrays.
        pipeline: that of the test.
        masks: the holes of the pictures, for inpainting: likewise files (white = hole),
            a folder of equal names, or arrays (H, W) of 0 and 1, or 0 and 255.
    """

    def __init__(
        self,
        pictures: Given | Sequence[Given],
        pipeline: Sequence[dict],
        masks: Given | Sequence[Given] | None = None,
    ) -> None:
        self.pictures, self.masks = pictures, masks
        super().__init__(test_mode=True, serialize_data=False)
        steps = _without_truth([build(TRANSFORMS, step) for step in pipeline])
        if masks is not None and not any(isinstance(s, GivenMask) for s in steps):
            raise ValueError(
                'This model does not fill holes, but masks are given. Leave them out, '
                'or take a model for inpainting.'
            )
        self.pipeline = Compose([_read, *steps])

    def load_data_list(self) -> list[dict]:
        """One entry per picture, in the order given; those of a folder sorted.

        Raises:
            FileNotFoundError: a file is missing, or a folder is empty.
            ValueError: there is no picture, an array is none, or masks do not pair up.
        """
        pictures = _listed(self.pictures)
        if not pictures:
            raise ValueError(
                'There is no picture to answer, but an empty list. Give a file, a '
                'folder or an array.'
            )
        entries = [dict(name=name, **_entry('img', p)) for name, p in pictures.items()]
        if self.masks is not None:
            for entry, mask in zip(entries, self._masks_of(list(pictures))):
                entry.update(_entry('mask', mask))
        return entries

    def _masks_of(self, names: Sequence[str]) -> list[Given]:
        """The masks in the order of the pictures."""
        masks = _listed(self.masks)
        if _is_folder(self.pictures) and _is_folder(self.masks):
            check_pairs(Path(self.pictures), names, Path(self.masks), masks)
            return [masks[name] for name in names]
        if len(masks) != len(names):
            raise ValueError(
                f'Each picture needs its mask, but there are {len(names)} pictures and '
                f'{len(masks)} masks. Give as many, in the same order.'
            )
        return list(masks.values())

    def prepare_data(self, idx: int) -> dict:
        """Picture ``idx`` after the pipeline: the condition, and a sample.

        The sample has no ``gt_img``; its ``ori_shape`` is the size that the truth would
        have.
        """
        item = super().prepare_data(idx)
        size = tuple(item['inputs'].pop('image').shape[-2:])
        sample = item['data_samples']
        sample.set_metainfo(dict(ori_shape=size, name=self.data_list[idx]['name']))
        del sample.gt_img
        return item


def _without_truth(steps: Sequence) -> list:
    kept: list = []
    for step in steps:
        instead = getattr(step, 'without_truth', None)
        kept = instead(kept) if instead else [*kept, step]
    return kept


def _read(results: dict) -> dict:
    """Add ``img`` (H, W, 3), the ``mask`` if there is one, and a black map."""
    if 'img_path' in results:
        results['img'] = read_image(results['img_path'], 'color')
    if 'mask_path' in results:
        results['mask'] = read_image(results['mask_path'], 'grayscale') > 127
    size = results['img'].shape[:2]
    results.update(img_shape=size, ori_shape=size)
    results['gt_seg_map'] = np.zeros(size, np.uint8)
    return results


def _is_folder(given: Given | Sequence[Given]) -> bool:
    return isinstance(given, str | Path) and Path(given).is_dir()


def _listed(given: Given | Sequence[Given]) -> dict[str, Given]:
    """Each picture by a name of its own: that of the file, or its number."""
    if _is_folder(given):
        folder = Path(given)
        paths = list_images(folder, advice='Give a folder of images.')
        items = [(p.relative_to(folder).with_suffix('').as_posix(), p) for p in paths]
    else:
        given = given if isinstance(given, list | tuple) else [given]
        items = [(_name(x, i), x) for i, x in enumerate(given)]
    named: dict[str, Given] = {}
    for i, (name, item) in enumerate(items):
        while name in named:
            name = f'{name}_{i:06d}'
        named[name] = item
    return named


def _name(given: Given, index: int) -> str:
    return Path(given).stem if isinstance(given, str | Path) else f'{index:06d}'


def _entry(key: str, given: Given) -> dict:
    """The path of a file that is there, or an array as the pipeline takes it."""
    if isinstance(given, str | Path):
        if not Path(given).is_file():
            raise FileNotFoundError(
                f'Picture not found: {given}. Give the path of an image file, or of a '
                'folder of them.'
            )
        return {f'{key}_path': str(given)}
    return {key: _as_mask(given) if key == 'mask' else _as_picture(given)}


def _as_picture(array: np.ndarray) -> np.ndarray:
    """A colour picture (H, W, 3) of one that may be grey."""
    grey = getattr(array, 'ndim', 0) == 2
    shape = (*array.shape, 3) if grey else getattr(array, 'shape', ())
    if len(shape) != 3 or shape[2] != 3 or array.dtype != np.uint8 or not array.size:
        raise ValueError(
            f'Not a picture: {_described(array)}. Give a path, or an array (H, W, 3) '
            'or (H, W) of uint8, RGB.'
        )
    return np.broadcast_to(array[..., None], shape) if grey else array


def _as_mask(array: np.ndarray) -> np.ndarray:
    """A mask (H, W) of bool."""
    values = np.unique(array) if isinstance(array, np.ndarray) else ()
    if not (len(values) and ({*values} <= {0, 1} or {*values} <= {0, 255})):
        raise ValueError(
            f'Not a mask: {_described(array)}. Give a path, or an array (H, W) of 0 '
            'and 1, or of 0 and 255, which is the hole.'
        )
    return array > 0


def _described(array: object) -> str:
    if not isinstance(array, np.ndarray):
        return f'a {type(array).__name__}'
    return f'an array of {array.dtype} {array.shape}'
