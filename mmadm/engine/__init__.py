"""Training engine: loop, hooks, schedules, optimizers, sharding."""

from .hooks import (
    AccelerationHook,
    AtomicCheckpointHook,
    BrokenImageHook,
    DeferredRuntimeInfoHook,
    LatentCacheHook,
    LogFailureHook,
    NonFiniteHook,
    PowerEMAHook,
    ResumeHook,
    SafeLoadingHook,
    SampleGridHook,
    ShowDirHook,
    StatelessSeedHook,
    StopSignalHook,
    WorkDirLockHook,
)
from .joint_optim import JointOptimConstructor, JointOptimWrapper
from .loops import OptimizerStepLoop
from .optim import AutocastOptimWrapper
from .schedulers import ClampedPolyLR
from .sharded import ShardedDataParallel, ShardingHook

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
    'LogFailureHook',
    'NonFiniteHook',
    'OptimizerStepLoop',
    'PowerEMAHook',
    'ResumeHook',
    'SafeLoadingHook',
    'SampleGridHook',
    'ShardedDataParallel',
    'ShardingHook',
    'ShowDirHook',
    'StatelessSeedHook',
    'StopSignalHook',
    'WorkDirLockHook',
]
