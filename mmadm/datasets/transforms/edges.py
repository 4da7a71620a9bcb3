"""Loads edge annotations of several annotators."""

import numpy as np
from mmcv.transforms import BaseTransform

from mmadm.registry import TRANSFORMS
from mmadm.utils.bsds import read_boundaries
from mmadm.utils.images import BrokenImageError


@TRANSFORMS.register_module()
class LoadBoundaries(BaseTransform):
    """Reads a ``.mat`` file of BSDS500: the maps of all annotators, and their mean.

    Required keys: ``edges_path``, ``img``. Added keys: ``gt_edges`` (A, H, W), uint8,
    1 on a boundary, for scoring; ``gt_seg_map`` (H, W), uint8, their mean in 0..255,
    which is what a model generates.
    """

    def transform(self, results: dict) -> dict:
        """Add the maps.

        Raises:
            BrokenImageError: the file is missing, corrupted or empty; in training
                another pair is used.
            ValueError: its size is not that of the image.
        """
        path = results['edges_path']
        try:
            edges = read_boundaries(path)
        except (ValueError, OSError) as error:
            raise BrokenImageError(str(error)) from error
        if edges.shape[1:] != results['img'].shape[:2]:
            raise ValueError(
                f'Image and boundaries of different size: {results["img_path"]} is '
                f'{results["img"].shape[:2]}, {path} is {edges.shape[1:]}. Restore the '
                'two files from the official release.'
            )
        results['gt_edges'] = edges
        results['gt_seg_map'] = mean_map(edges)
        return results

    def for_inference(self, before: list) -> list:
        """Nothing: there is no ground truth."""
        return before


def mean_map(edges: np.ndarray) -> np.ndarray:
    """Fraction of annotators who drew a pixel, (A, H, W) of 0/1 to (H, W) of 0..255."""
    return np.rint(edges.mean(axis=0) * 255).astype(np.uint8)


@TRANSFORMS.register_module()
class SaturateEdges(BaseTransform):
    """Sets pixels that enough annotators drew to 255; others keep their grey value.

    Args:
        threshold: fraction of annotators for a full edge; the authors use 0.3.
    """

    def __init__(self, threshold: float = 0.3) -> None:
        self.threshold = threshold

    def transform(self, results: dict) -> dict:
        """Set values of ``gt_seg_map`` from the threshold on to 255."""
        edges = results['gt_seg_map']
        sure = edges >= self.threshold * 255
        results['gt_seg_map'] = np.where(sure, 255, edges).astype(np.uint8)
        return results
