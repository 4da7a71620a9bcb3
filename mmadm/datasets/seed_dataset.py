"""Dataset of unconditional generation: it contains seeds only."""

from collections.abc import Sequence

from mmadm.registry import DATASETS
from mmadm.structures import DiffusionSample

from .seeded import SeededDataset


@DATASETS.register_module()
class SeedDataset(SeededDataset):
    """Requests for ``num_samples`` images of ``target_shape``.

    Args:
        num_samples: number of images to be generated.
        target_shape: their (H, W).
        kwargs: see :class:`mmengine.dataset.BaseDataset`.
    """

    def __init__(
        self, num_samples: int, target_shape: Sequence[int] = (32, 32), **kwargs
    ) -> None:
        if num_samples < 1:
            raise ValueError(
                'The number of images to generate must be positive, but num_samples='
                f'{num_samples}. The paper scores 50,000 (CIFAR-10) or 30,000.'
            )
        self.num_samples = num_samples
        self.target_shape = tuple(target_shape)
        super().__init__(pipeline=[self._pack], test_mode=True, **kwargs)

    def load_data_list(self) -> list[dict]:
        """One empty entry per image."""
        return [{} for _ in range(self.num_samples)]

    def _pack(self, results: dict) -> dict:
        meta = dict(sample_idx=results['sample_idx'], target_shape=self.target_shape)
        return dict(inputs={}, data_samples=DiffusionSample(metainfo=meta))
