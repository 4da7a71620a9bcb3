"""The last transform: arrays to what the model takes."""

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
    """Choose what is generated and what it is generated from.

    Args:
        image: key of the array to generate: ``img``, or ``gt_seg_map`` for tasks whose
            answer is a map.
        condition: key of the array to generate it from, None for unconditional models.
    """

    def __init__(self, image: str = 'img', condition: str | None = None) -> None:
        self.image = image
        self.condition = condition

    def transform(self, results: dict) -> dict:
        """Results to ``inputs`` (uint8, (C, H, W)) and a ``DiffusionSample``.

        Optional keys: ``mask``; ``gt_edges`` (A, H, W), one map per annotator;
        ``target_shape``, the answer's (H, W) where it is not that of the truth.
        """
        inputs = {'image': to_tensor(results[self.image])}
        if self.condition is not None:
            inputs['condition'] = to_tensor(results[self.condition])

        meta = {key: results[key] for key in _META_KEYS if key in results}
        meta.setdefault('target_shape', tuple(inputs['image'].shape[-2:]))
        sample = DiffusionSample(metainfo=meta)
        sample.gt_img = inputs['image']
        if self.condition is not None:
            # A picture; further channels, such as a mask, are for the network alone.
            sample.condition = inputs['condition'][:3]
        if 'mask' in results:
            sample.mask = to_tensor(results['mask'])
        if 'gt_edges' in results:
            sample.gt_edges = torch.from_numpy(results['gt_edges'])
        return dict(inputs=inputs, data_samples=sample)


def to_tensor(array: np.ndarray) -> Tensor:
    """(H, W) or (H, W, C) to (C, H, W)."""
    array = array[..., None] if array.ndim == 2 else array
    return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1)))
