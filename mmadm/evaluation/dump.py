"""Samples in a file that other programs read."""

import logging
from collections.abc import Sequence

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mmadm.registry import METRICS
from mmadm.utils.files import atomic_write


@METRICS.register_module()
class DumpSamples(BaseMetric):
    """Writes all samples as guided-diffusion does: ``arr_0``, (N, H, W, C), uint8.

    In the order of the data set, each once, whatever the number of processes. They are
    held in memory.

    Args:
        out: the ``.npz`` file.

    Raises:
        ValueError: the file would have another suffix.
    """

    # MMEngine warns of metrics without a prefix.
    default_prefix = ''

    def __init__(self, out: str) -> None:
        super().__init__()
        if not str(out).endswith('.npz'):
            raise ValueError(
                f'Samples are written to a .npz file, but out={out!r}. Give a file '
                'name that ends in .npz.'
            )
        self.out = out
        self._shape: tuple[int, ...] | None = None

    def process(self, data_batch, data_samples: Sequence[dict]) -> None:
        """Keep the pictures.

        Raises:
            ValueError: the pictures have not all one size.
        """
        for sample in data_samples:
            image = sample['pred_img'].cpu().numpy().transpose(1, 2, 0)
            self._shape = self._shape or image.shape
            if image.shape != self._shape:
                raise ValueError(
                    f'One array needs samples of one size, but {self.out} would get '
                    f'{self._shape} and {image.shape}. Give --out a .pkl file, which '
                    'takes any sizes.'
                )
            self.results.append(image)

    def compute_metrics(self, results: list[np.ndarray]) -> dict:
        """Write the file; no score."""
        with atomic_write(self.out) as part:
            np.savez(part, np.stack(results))
        print_log(f'Samples written to {self.out}', 'current', logging.INFO)
        return {}
