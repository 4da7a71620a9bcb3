"""What happens beside the training step."""

from .plain_checkpoint import PlainCheckpointHook
from .sample_grid import SampleGridHook
from .show_dir import ShowDirHook
from .stateless_seed import StatelessSeedHook

__all__ = ['PlainCheckpointHook', 'SampleGridHook', 'ShowDirHook', 'StatelessSeedHook']
