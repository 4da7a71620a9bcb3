"""Answers in the forms that servers and other people's scripts take."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.dist import all_gather_object
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from PIL import Image
from torch import Tensor

from mmadm.registry import METRICS
from mmadm.utils import enlarge
from mmadm.utils.files import atomic_write

from .sample_fields import as_map


def _stem(sample: dict) -> str:
    """The name of the picture that the answer is to."""
    path = sample.get('img_path')
    return Path(path).stem if path else f'{sample["sample_idx"]:06d}'


def _full_size(sample: dict) -> Tensor:
    """The answer at the size of its truth, or else of its picture as it was read."""
    image = sample['pred_img'].cpu()
    truth = sample.get('gt_img')
    size = sample.get('ori_shape', image.shape[-2:]) if truth is None else truth.shape
    return enlarge(image, size[-2:])


@METRICS.register_module()
class DumpImages(BaseMetric):
    """Writes each ``pred_img`` as a PNG, named like the picture that it answers.

    8 bits, grey where the answer has one channel, at the size of the truth (of the
    picture as it was read, where there is no truth). Where two pictures have one name,
    the later one's number is added.

    Args:
        out_dir: where the PNGs go.
        collect_device: see :class:`mmengine.evaluator.BaseMetric`.
    """

    # MMEngine warns of metrics without a prefix.
    default_prefix = ''

    def __init__(self, out_dir: str, collect_device: str = 'cpu') -> None:
        super().__init__(collect_device)
        self.out_dir = Path(out_dir)
        self._first: dict[str, int] = {}

    def process(self, data_batch, data_samples: Sequence[dict]) -> None:
        """Write a batch."""
        for sample in data_samples:
            array = _full_size(sample).numpy().transpose(1, 2, 0)
            array = array[..., 0] if array.shape[2] == 1 else array
            with atomic_write(self.out_dir / f'{self._name(sample)}.png') as path:
                Image.fromarray(array).save(path)

    def _name(self, sample: dict) -> str:
        stem, index = _stem(sample), sample['sample_idx']
        if self._first.setdefault(stem, index) == index:
            return stem
        return f'{stem}_{index:06d}'

    def compute_metrics(self, results: list) -> dict:
        """Nothing is scored."""
        return {}

    def evaluate(self, size: int) -> dict:
        """Say where the images are.

        Raises:
            ValueError: processes have written different pictures of one name.
        """
        ranks = all_gather_object(self._first)
        self._first = {}
        names = {name for first in ranks for name in first}
        lost = [n for n in sorted(names) if len({f[n] for f in ranks if n in f}) > 1]
        if lost:
            raise ValueError(
                f'{len(lost)} names belong to several pictures, for instance '
                f'{lost[:3]}, and processes have overwritten the answers of each other '
                f'in {self.out_dir}. Write them with one process.'
            )
        print_log(f'Answers written to {self.out_dir}', logger='current')
        return {}


@METRICS.register_module()
class DumpCocoRle(BaseMetric):
    """Writes maps as results in COCO's format: run lengths in one JSON file.

    One entry per image: what is above the threshold, its score the mean of the map
    there; its size that of the truth, as with :class:`DumpImages`. Images without such
    a pixel have no entry, as in detection.

    Args:
        out_file: JSON file.
        threshold: from there on a pixel belongs to the mask, in [0, 1].
        category_id: of all entries.
        collect_device: see :class:`mmengine.evaluator.BaseMetric`.
    """

    # MMEngine warns of metrics without a prefix.
    default_prefix = ''

    def __init__(
        self,
        out_file: str,
        threshold: float = 0.5,
        category_id: int = 1,
        collect_device: str = 'cpu',
    ) -> None:
        super().__init__(collect_device)
        if not str(out_file).endswith('.json'):
            raise ValueError(
                f'COCO results are a .json file, but out_file={out_file}. Give a name '
                'that ends in .json.'
            )
        if not 0 < threshold <= 1:
            raise ValueError(
                f'The threshold of a mask lies in (0, 1], but threshold={threshold}. '
                'Give 0.5.'
            )
        self.out_file = Path(out_file)
        self.threshold = threshold
        self.category_id = category_id

    def process(self, data_batch, data_samples: Sequence[dict]) -> None:
        """Encode a batch."""
        for sample in data_samples:
            stem = _stem(sample)
            number = int(stem) if stem.isdecimal() else stem
            entry = dict(
                image_id=sample.get('img_id', number),
                category_id=self.category_id,
                **self._encode(as_map(_full_size(sample))),
            )
            self.results.append(entry)

    def _encode(self, soft: np.ndarray) -> dict:
        from pycocotools import mask as coco_mask

        inside = soft >= self.threshold
        code = coco_mask.encode(np.asfortranarray(inside, np.uint8))
        code['counts'] = code['counts'].decode()
        return dict(
            segmentation=code, score=float(soft[inside].mean()) if inside.any() else 0.0
        )

    def compute_metrics(self, results: list[dict]) -> dict:
        """Write the file."""
        found = [entry for entry in results if entry['score'] > 0]
        with atomic_write(self.out_file) as path:
            path.write_text(json.dumps(found))
        print_log(
            f'{len(found)} masks of {len(results)} images written to {self.out_file}',
            logger='current',
        )
        return {}
