"""Transforms that mmcv does not have.

Order of a pipeline: geometry first (mmcv's ``RandomFlip`` and others change ``img`` and
``gt_seg_map``), then the condition, which is made from the result, and packing last.
"""

from .condition import BicubicCondition, MaskedCondition
from .crop import CropToMultiple, RandomCrop
from .edges import LoadBoundaries, SaturateEdges
from .inference import InferenceCondition, InferenceMask
from .instances import UnionOfInstances
from .loading import LoadImages
from .mask import FixedMask, NamedMask, RandomMask
from .packing import PackDiffusionInputs
from .resize import RandomResizedCrop, ResizeInput, ResizeTo

__all__ = [
    'BicubicCondition',
    'CropToMultiple',
    'FixedMask',
    'InferenceCondition',
    'InferenceMask',
    'LoadBoundaries',
    'LoadImages',
    'MaskedCondition',
    'NamedMask',
    'PackDiffusionInputs',
    'RandomCrop',
    'RandomMask',
    'RandomResizedCrop',
    'ResizeInput',
    'ResizeTo',
    'SaturateEdges',
    'UnionOfInstances',
]
