"""Images of a test run."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.hooks import Hook

from mmadm.registry import HOOKS
from mmadm.structures import DiffusionSample
from mmadm.visualization import columns
from mmadm.visualization.images import (
    captioned_row,
    column,
    detail,
    fitted,
    grid,
    legible,
)
from mmadm.visualization.visualizer import save

# Unconditional samples of a run in the sheet; its own grid has more.
_COMPARED = 25


@HOOKS.register_module()
class ShowDirHook(Hook):
    """Writes condition, prediction and ground truth side by side, and compares runs.

    Each run (a number of steps, for instance) has its own folder; :meth:`write_sheet`
    puts the predictions of all runs for the same samples side by side. Unconditional
    samples also become one grid per run.

    Args:
        show_dir: folder of the images, None to write none.
        interval: one of so many samples is shown.
        sheet_rows: number of samples in the sheet.
        grid_size: number of samples in a grid.
        show: open a window for each sample.
        wait_time: seconds until a window closes.
    """

    def __init__(
        self,
        show_dir: str | None,
        interval: int = 1,
        sheet_rows: int = 8,
        grid_size: int = 100,
        show: bool = False,
        wait_time: float = 2.0,
    ) -> None:
        self.show_dir = None if show_dir is None else Path(show_dir)
        self.interval = interval
        self.sheet_rows = sheet_rows
        self.grid_size = grid_size
        self.show = show
        self.wait_time = wait_time
        self.run = 'ADM'
        self._sheet: dict[int, dict[str, np.ndarray]] = defaultdict(dict)
        self._grids: dict[str, list[np.ndarray]] = defaultdict(list)

    def after_test_iter(
        self,
        runner,
        batch_idx: int,
        data_batch=None,
        outputs: Sequence[DiffusionSample] = (),
    ) -> None:
        """Write the samples of a batch, and keep those of the sheet and the grid."""
        for sample in outputs:
            index = sample.sample_idx
            if index % self.interval:
                continue
            shown = columns(sample)
            self._show(runner, sample, shown)
            if list(shown) == ['prediction']:  # of an unconditional model
                if len(self._grids[self.run]) < self.grid_size:
                    self._grids[self.run].append(legible(shown['prediction']))
            elif index in self._sheet or len(self._sheet) < self.sheet_rows:
                self._remember(sample, shown)

    def _remember(self, sample: DiffusionSample, shown: dict[str, np.ndarray]) -> None:
        shown[self.run] = shown.pop('prediction')
        shown.pop('overlay', None)
        # Images are compared by their details, maps as a whole.
        reduce = fitted if len(sample.pred_img) == 1 else detail
        small = {caption: reduce(image) for caption, image in shown.items()}
        self._sheet[sample.sample_idx].update(small)

    def _show(
        self, runner, sample: DiffusionSample, shown: dict[str, np.ndarray]
    ) -> None:
        image = captioned_row(shown) if len(shown) > 1 else shown['prediction']
        stem = Path(sample.get('img_path', 'sample')).stem
        name = f'{sample.sample_idx:05d}_{stem}'
        if self.show_dir is not None:
            save(image, self.show_dir / self.run / f'{name}.png')
        if self.show:
            runner.visualizer.show(image, win_name=name, wait_time=self.wait_time)

    def write_sheet(self) -> Path | None:
        """Write the sheet and the grids.

        The sheet has one row per sample and one column per run; the ground truth is the
        last column. Maps are shown whole, of large images the centre. Of unconditional
        samples it has a grid per run.

        Returns:
            path of the sheet, or None if no sample was shown.
        """
        if self.show_dir is None or not (self._sheet or self._grids):
            return None
        rows = []
        for shown in self._sheet.values():
            ordered = sorted(shown.items(), key=lambda item: item[0] == 'ground truth')
            rows.append(captioned_row(dict(ordered)))
        grids = {run: grid(images) for run, images in self._grids.items()}
        if grids:
            first = {run: images[:_COMPARED] for run, images in self._grids.items()}
            rows.append(captioned_row({run: grid(few) for run, few in first.items()}))
        path = self.show_dir / 'comparison.png'
        save(column(rows), path)
        for run, image in grids.items():
            save(image, self.show_dir / run / 'grid.png')
        return path
