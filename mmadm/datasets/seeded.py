"""Seeds of the random transforms: they depend on the position in the data stream."""

from collections.abc import Iterator
from typing import NamedTuple

from mmengine.dataset import BaseDataset, InfiniteSampler

from mmadm.registry import DATA_SAMPLERS
from mmadm.utils import mix_seed, seed_host
from mmadm.utils.images import BrokenImageError

# After so many corrupted images in a row, the whole dataset is unreadable.
_MAX_BROKEN = 10


class SeededIndex(NamedTuple):
    """Index of an item, and the seed of all that is random about it."""

    index: int
    seed: int


@DATA_SAMPLERS.register_module()
class SeededInfiniteSampler(InfiniteSampler):
    """MMEngine's infinite stream of indices, each with a seed of its own.

    The seed depends on the position in the stream, which all ranks share. So crops,
    flips, timesteps and noise are the same after a resume, for any number of workers,
    and for 1 x 8, 2 x 4 (ranks x batch) or two accumulated batches of 4.
    """

    def _infinite_indices(self) -> Iterator[SeededIndex]:
        for position, index in enumerate(super()._infinite_indices()):
            yield SeededIndex(index, mix_seed(self.seed, position))


class SeededDataset(BaseDataset):
    """Base class of datasets that accept a :class:`SeededIndex` or a plain index.

    With a seeded index, a corrupted image is replaced by another one, which the seed
    determines; ``broken`` of the sample has the message. With a plain index (in
    validation and testing) a corrupted image is an error.
    """

    def full_init(self) -> None:
        """List the images, and let transforms check that they can process them."""
        if self._fully_initialized:
            return
        super().full_init()
        for transform in self.pipeline.transforms:
            if check := getattr(transform, 'check_entries', None):
                check([self.get_data_info(i) for i in range(len(self))])

    def prepare_data(self, idx: int | SeededIndex) -> dict | None:
        """Item ``idx``, after the pipeline."""
        if not isinstance(idx, SeededIndex):
            return super().prepare_data(idx)
        broken: list[str] = []
        index = idx.index
        while True:
            try:
                return self._prepare(index, idx.seed, broken)
            except BrokenImageError as error:
                broken.append(str(error))
                if len(broken) > _MAX_BROKEN:
                    raise
            index = mix_seed(idx.seed, len(broken)) % len(self)

    def _prepare(self, index: int, seed: int, broken: list[str]) -> dict | None:
        seed_host(seed)
        data_info = self.get_data_info(index)
        data_info['seed'] = seed
        data = self.pipeline(data_info)
        if broken:
            data['data_samples'].set_metainfo(dict(broken=tuple(broken)))
        return data
