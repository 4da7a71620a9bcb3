"""What happens beside the training step."""

from .broken_images import BrokenImageHook
from .checkpoint import AtomicCheckpointHook
from .nonfinite import NonFiniteHook
from .plain_checkpoint import PlainCheckpointHook
from .sample_grid import SampleGridHook
from .show_dir import ShowDirHook
from .stateless_seed import StatelessSeedHook
from .stop_signal import StopSignalHook

__all__ = [
    'AtomicCheckpointHook',
    'BrokenImageHook',
    'NonFiniteHook',
    'PlainCheckpointHook',
    'SampleGridHook',
    'ShowDirHook',
    'StatelessSeedHook',
    'StopSignalHook',
]
