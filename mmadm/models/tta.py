"""Test-time augmentation."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseTTAModel

from mmadm.registry import MODELS
from mmadm.structures import DiffusionSample


@MODELS.register_module()
class FlipTTA(BaseTTAModel):
    """Test-time augmentation that averages an image and its mirror image.

    Works with mmcv's ``TestTimeAug`` over ``RandomFlip``; see
    ``configs/_base_/datasets/photos_sr_tta.py``.
    """

    def merge_preds(
        self, data_samples_list: Sequence[Sequence[DiffusionSample]]
    ) -> list[DiffusionSample]:
        """One sample per image from its augmented versions."""
        return [self._merge(versions) for versions in data_samples_list]

    def _merge(self, versions: Sequence[DiffusionSample]) -> DiffusionSample:
        predictions = [
            sample.pred_img.flip(-1) if sample.get('flip') else sample.pred_img
            for sample in versions
        ]
        merged = next(sample for sample in versions if not sample.get('flip'))
        merged.pred_img = torch.stack(predictions).float().mean(0).round().byte()
        return merged
