"""Hooks of training, validation and testing."""

from .acceleration import AccelerationHook
from .broken_images import BrokenImageHook
from .checkpoint import AtomicCheckpointHook
from .latent_cache import LatentCacheHook
from .log_failure import LogFailureHook
from .nonfinite import NonFiniteHook
from .power_ema import PowerEMAHook
from .resume import ResumeHook
from .runtime_info import DeferredRuntimeInfoHook
from .safe_loading import SafeLoadingHook
from .sample_grid import SampleGridHook
from .show_dir import ShowDirHook
from .stateless_seed import StatelessSeedHook
from .stop_signal import StopSignalHook
from .work_dir_lock import WorkDirLockHook

__all__ = [
    'AccelerationHook',
    'AtomicCheckpointHook',
    'BrokenImageHook',
    'DeferredRuntimeInfoHook',
    'LatentCacheHook',
    'LogFailureHook',
    'NonFiniteHook',
    'PowerEMAHook',
    'ResumeHook',
    'SafeLoadingHook',
    'SampleGridHook',
    'ShowDirHook',
    'StatelessSeedHook',
    'StopSignalHook',
    'WorkDirLockHook',
]
