"""The engine room: hooks, schedulers, optimisation, checkpoints."""

from .checkpoint import load_weights, read_checkpoint
from .hooks import (
    PlainCheckpointHook,
    SampleGridHook,
    ShowDirHook,
    StatelessSeedHook,
)
from .joint_optim import JointOptimConstructor, JointOptimWrapper
from .optim import AutocastOptimWrapper
from .schedulers import ClampedPolyLR

__all__ = [
    'AutocastOptimWrapper',
    'ClampedPolyLR',
    'JointOptimConstructor',
    'JointOptimWrapper',
    'PlainCheckpointHook',
    'SampleGridHook',
    'ShowDirHook',
    'StatelessSeedHook',
    'load_weights',
    'read_checkpoint',
]
