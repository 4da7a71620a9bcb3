"""Several data sets as one."""

from collections.abc import Sequence

from mmadm.registry import DATASETS

from .seeded import SeededDataset


@DATASETS.register_module()
class JoinedDataset(SeededDataset):
    """The samples of several data sets, one after the other, in one pipeline.

    MMEngine's ``ConcatDataset`` does not pass on the seed that belongs to each position
    of the training stream; here the lists of samples are joined instead.

    Args:
        parts: configs of data sets; each lists its samples, its pipeline is not used.
        kwargs: see :class:`mmengine.dataset.BaseDataset`.
    """

    def __init__(self, parts: Sequence[dict], **kwargs) -> None:
        self.parts = [
            DATASETS.build(dict(part, pipeline=[], lazy_init=True)) for part in parts
        ]
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict]:
        """The entries of all parts, in their order."""
        return [entry for part in self.parts for entry in part.load_data_list()]
