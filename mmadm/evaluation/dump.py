"""Samples in a .npz file that other programs read."""

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

    The file holds each sample once, in the order of the dataset, whatever the number of
    processes. The samples are held in memory.

    Args:
        out: the ``.npz`` file.

    Raises:
        ValueError: the file has another suffix.
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
        """Keep the images.

        Raises:
            ValueError: the images differ in size.
        """
        for sample in data_samples:
            image = sample['pred_img'].cpu().numpy().transpose(1, 2, 0)
            self._shape = self._shape or image.shape
            if image.shape != self._shape:
                raise ValueError(
                    f'One array needs samples of one size, but {self.out} would get '
                    f'{self._shape} and {image.shape}. Write them to a .pkl file with '
                    '--out, which takes any sizes.'
                )
            self.results.append(image)

    def compute_metrics(self, results: list[np.ndarray]) -> dict:
        """Write the file; no score."""
        with atomic_write(self.out) as part:
            np.savez(part, np.stack(results))
        print_log(f'Samples written to {self.out}', 'current', logging.INFO)
        return {}
