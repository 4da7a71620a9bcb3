"""What mmcv's transforms lack.

Geometry comes first (mmcv's ``RandomFlip``, ``Resize`` and so on act on ``img`` and
``gt_seg_map``), the condition is made from the result, packing is last.
"""

from .condition import BicubicCondition
from .crop import CropToMultiple, RandomCrop
from .loading import LoadImages
from .packing import PackDiffusionInputs

__all__ = [
    'BicubicCondition',
    'CropToMultiple',
    'LoadImages',
    'PackDiffusionInputs',
    'RandomCrop',
]
