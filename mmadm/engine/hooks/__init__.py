"""What happens beside the training step."""

from .acceleration import AccelerationHook
from .broken_images import BrokenImageHook
from .checkpoint import AtomicCheckpointHook
from .latent_cache import LatentCacheHook
from .nonfinite import NonFiniteHook
from .plain_checkpoint import PlainCheckpointHook
from .runtime_info import DeferredRuntimeInfoHook
from .sample_grid import SampleGridHook
from .sharding import ShardingHook
from .show_dir import ShowDirHook
from .stateless_seed import StatelessSeedHook
from .stop_signal import StopSignalHook

__all__ = [
    'AccelerationHook',
    'AtomicCheckpointHook',
    'BrokenImageHook',
    'DeferredRuntimeInfoHook',
    'LatentCacheHook',
    'NonFiniteHook',
    'PlainCheckpointHook',
    'SampleGridHook',
    'ShardingHook',
    'ShowDirHook',
    'StatelessSeedHook',
    'StopSignalHook',
]
