"""The engine room: hooks, schedulers, optimisation, checkpoints."""

from mmadm.utils.checkpoint import read_checkpoint, trust_checkpoint

from .checkpoint import load_weights
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
from .publish import publish_weights
from .saving import find_checkpoint, write_atomically
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
    'find_checkpoint',
    'load_weights',
    'publish_weights',
    'read_checkpoint',
    'trust_checkpoint',
    'write_atomically',
]
