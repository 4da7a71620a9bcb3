"""Pictures of a test run."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.hooks import Hook

from mmadm.registry import HOOKS
from mmadm.structures import DiffusionSample
from mmadm.visualization import columns
from mmadm.visualization.pictures import captioned, column, detail, row
from mmadm.visualization.visualizer import save


@HOOKS.register_module()
class ShowDirHook(Hook):
    """Writes what was asked, answered and true, and compares several runs.

    Each run (a number of steps, say) has a folder of its own; :meth:`write_sheet` puts
    the answers of all runs to the same samples side by side.

    Args:
        show_dir: where the pictures go, None to write none.
        interval: every how many samples one is shown.
        sheet_rows: how many samples the sheet compares.
        show: open a window for each.
        wait_time: seconds a window stays.
    """

    def __init__(
        self,
        show_dir: str | None,
        interval: int = 1,
        sheet_rows: int = 8,
        show: bool = False,
        wait_time: float = 2.0,
    ) -> None:
        self.show_dir = None if show_dir is None else Path(show_dir)
        self.interval = interval
        self.sheet_rows = sheet_rows
        self.show = show
        self.wait_time = wait_time
        self.run = 'ADM'
        self._sheet: dict[int, dict[str, np.ndarray]] = defaultdict(dict)

    def after_test_iter(
        self,
        runner,
        batch_idx: int,
        data_batch=None,
        outputs: Sequence[DiffusionSample] = (),
    ) -> None:
        """Write and remember the samples of a batch."""
        for sample in outputs:
            index = sample.sample_idx
            if index % self.interval:
                continue
            shown = columns(sample)
            self._show(runner, sample, shown)
            if index in self._sheet or len(self._sheet) < self.sheet_rows:
                shown[self.run] = shown.pop('prediction')
                self._sheet[index].update(shown)

    def _show(
        self, runner, sample: DiffusionSample, shown: dict[str, np.ndarray]
    ) -> None:
        picture = row([captioned(p, text) for text, p in shown.items()])
        stem = Path(sample.get('img_path', 'sample')).stem
        name = f'{sample.sample_idx:05d}_{stem}'
        if self.show_dir is not None:
            save(picture, self.show_dir / self.run / f'{name}.png')
        if self.show:
            runner.visualizer.show(picture, win_name=name, wait_time=self.wait_time)

    def write_sheet(self) -> Path | None:
        """Details: one row per sample, one column per run, the truth last.

        Returns:
            its path, or None where nothing was shown.
        """
        if not self._sheet or self.show_dir is None:
            return None
        rows = []
        for shown in self._sheet.values():
            ordered = sorted(shown.items(), key=lambda item: item[0] == 'truth')
            rows.append(row([captioned(detail(p), text) for text, p in ordered]))
        path = self.show_dir / 'comparison.png'
        save(column(rows), path)
        return path
