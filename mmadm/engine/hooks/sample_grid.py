"""Logs an image of samples in each validation."""

from collections.abc import Sequence

from mmengine.hooks import Hook

from mmadm.registry import HOOKS
from mmadm.structures import DiffusionSample
from mmadm.visualization import columns
from mmadm.visualization.images import captioned_row, column


@HOOKS.register_module()
class SampleGridHook(Hook):
    """Logs one image per validation: a row of columns for each of the first samples.

    The samples are those of the validation: averaged weights, fixed noise, no extra
    sampling.

    Args:
        num_samples: number of rows.
    """

    priority = 'NORMAL'

    def __init__(self, num_samples: int = 4) -> None:
        self.num_samples = num_samples
        self._rows: list = []

    def before_val_epoch(self, runner) -> None:
        """Begin a new image."""
        self._rows = []

    def after_val_iter(
        self,
        runner,
        batch_idx: int,
        data_batch=None,
        outputs: Sequence[DiffusionSample] | None = None,
    ) -> None:
        """Keep the first samples."""
        for sample in outputs[: self.num_samples - len(self._rows)]:
            self._rows.append(captioned_row(columns(sample)))

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        """Log the image."""
        if self._rows:
            runner.visualizer.add_image('samples', column(self._rows), runner.iter)
