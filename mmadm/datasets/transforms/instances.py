"""Combines annotated objects into one map."""

import numpy as np
from mmcv.transforms import BaseTransform

from mmadm.datasets.coco_masks import decode
from mmadm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class UnionOfInstances(BaseTransform):
    """Draws the union of all annotated objects: a saliency map from COCO's instances.

    Required keys: ``img``, ``instances`` (polygons or run lengths as in COCO's JSON),
    ``ann_size``. Added keys: ``gt_seg_map`` (H, W), uint8, 255 on an object.
    """

    def transform(self, results: dict) -> dict:
        """Add the map.

        Raises:
            ValueError: the image has not the annotated size, or a mask is corrupted.
        """
        height, width = results['ann_size']
        if results['img'].shape[:2] != (height, width):
            raise ValueError(
                f'Image and annotation of different size: {results["img_path"]} is '
                f'{results["img"].shape[:2]}, annotated is {(height, width)}. Use the '
                'images that the annotations were made for.'
            )
        union = np.zeros((height, width), bool)
        for segmentation in results['instances']:
            try:
                union |= decode(segmentation, (height, width)).astype(bool)
            except ValueError as error:
                raise ValueError(
                    f'Broken annotation of {results["img_path"]}: {error}. Correct it '
                    'in the annotation file, or remove the image there.'
                ) from error
        results['gt_seg_map'] = union.astype(np.uint8) * 255
        return results

    def for_inference(self, before: list) -> list:
        """Nothing: there is no ground truth."""
        return before
