"""The engine room: hooks, schedulers, optimisation, checkpoints."""

from .hooks import (
    AccelerationHook,
    AtomicCheckpointHook,
    BrokenImageHook,
    DeferredRuntimeInfoHook,
    LatentCacheHook,
    NonFiniteHook,
    PlainCheckpointHook,
    SampleGridHook,
    ShardingHook,
    ShowDirHook,
    StatelessSeedHook,
    StopSignalHook,
)
from .joint_optim import JointOptimConstructor, JointOptimWrapper
from .optim import AutocastOptimWrapper
from .schedulers import ClampedPolyLR
from .sharded import ShardedDataParallel

__all__ = [
    'AccelerationHook',
    'AtomicCheckpointHook',
    'AutocastOptimWrapper',
    'BrokenImageHook',
    'ClampedPolyLR',
    'DeferredRuntimeInfoHook',
    'JointOptimConstructor',
    'JointOptimWrapper',
    'LatentCacheHook',
    'NonFiniteHook',
    'PlainCheckpointHook',
    'SampleGridHook',
    'ShardedDataParallel',
    'ShardingHook',
    'ShowDirHook',
    'StatelessSeedHook',
    'StopSignalHook',
]
