"""Data whose random augmentation follows from its place in the stream."""

from collections.abc import Iterator
from typing import NamedTuple

from mmengine.dataset import BaseDataset, InfiniteSampler

from mmadm.registry import DATA_SAMPLERS
from mmadm.utils import mix_seed, seed_everything


class SeededIndex(NamedTuple):
    """Which item, and the seed of everything random about it."""

    index: int
    seed: int


@DATA_SAMPLERS.register_module()
class SeededInfiniteSampler(InfiniteSampler):
    """MMEngine's endless stream of indices, each with a seed of its own.

    The seed follows from the position in the stream that all ranks share. So crops,
    flips, times and noise are the same after a resume, for any number of workers, and
    for 1 x 8, 2 x 4 (ranks x batch) or two accumulated batches of 4.
    """

    def _infinite_indices(self) -> Iterator[SeededIndex]:
        for position, index in enumerate(super()._infinite_indices()):
            yield SeededIndex(index, mix_seed(self.seed, position))


class SeededDataset(BaseDataset):
    """A data set that takes a :class:`SeededIndex` as well as a plain one."""

    def prepare_data(self, idx: int | SeededIndex) -> dict | None:
        """Item ``idx``, after the pipeline."""
        if not isinstance(idx, SeededIndex):
            return super().prepare_data(idx)
        seed_everything(idx.seed)
        data_info = self.get_data_info(idx.index)
        data_info['seed'] = idx.seed
        return self.pipeline(data_info)
