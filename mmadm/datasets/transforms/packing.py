"""The last transform: packs arrays into the inputs of the model."""

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from torch import Tensor

from mmadm.registry import TRANSFORMS
from mmadm.structures import DiffusionSample

_META_KEYS = (
    'img_path',
    'img_id',
    'sample_idx',
    'seed',
    'ori_shape',
    'target_shape',
    'flip',
)


@TRANSFORMS.register_module()
class PackDiffusionInputs(BaseTransform):
    """Packs the image to be generated, and the condition it is generated from.

    Args:
        image: key of the array to be generated: ``img``, or ``gt_seg_map`` for tasks
            whose output is a map.
        condition: key of the array that is the condition, None for unconditional
            models.
    """

    def __init__(self, image: str = 'img', condition: str | None = None) -> None:
        self.image = image
        self.condition = condition

    def transform(self, results: dict) -> dict:
        """Results to ``inputs`` (uint8, (C, H, W)) and a ``DiffusionSample``.

        Optional keys: ``mask``; ``gt_edges`` (A, H, W), one map per annotator (left out
        if the map was flipped or cropped after it was loaded, as in training);
        ``target_shape``, the (H, W) of the output where it differs from that of the
        ground truth.

        Raises:
            ValueError: ``img`` was changed after the condition was made from it.
        """
        _check_geometry(results, self.condition)
        inputs = {'image': to_tensor(results[self.image])}
        if self.condition is not None:
            inputs['condition'] = to_tensor(results[self.condition])

        meta = {key: results[key] for key in _META_KEYS if key in results}
        gt_path = results.get('img_path' if self.image == 'img' else 'seg_map_path')
        if gt_path is not None:
            meta['gt_path'] = gt_path
        meta.setdefault('target_shape', tuple(inputs['image'].shape[-2:]))
        sample = DiffusionSample(metainfo=meta)
        sample.gt_img = inputs['image']
        if self.condition is not None:
            # Three channels to look at; others, such as a mask, are for the network.
            sample.condition = inputs['condition'][:3]
        if 'mask' in results:
            sample.mask = to_tensor(results['mask'])
        if 'gt_edges' in results and _fits_map(results):
            sample.gt_edges = torch.from_numpy(results['gt_edges'])
        return dict(inputs=inputs, data_samples=sample)


def _check_geometry(results: dict, condition: str | None) -> None:
    source = results.get('condition_source')
    if condition == 'condition' and source is not None and source is not results['img']:
        raise ValueError(
            f'The image {results.get("img_path")} was changed after its condition had '
            'been made from it: they no longer show the same. Put transforms that '
            'flip, crop, resize or change the image before the one that makes the '
            'condition.'
        )


def _fits_map(results: dict) -> bool:
    """Whether the map was neither flipped nor cropped after loading ``gt_edges``."""
    size = results['gt_seg_map'].shape[:2]
    return results['gt_edges'].shape[1:] == size and not results.get('flip')


def to_tensor(array: np.ndarray) -> Tensor:
    """(H, W) or (H, W, C) to (C, H, W)."""
    array = array[..., None] if array.ndim == 2 else array
    return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1)))
