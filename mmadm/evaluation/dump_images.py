"""Predictions as PNG files, and as COCO results."""

import json
import logging
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
    """Name of the input image without suffix, or the number of the sample."""
    path = sample.get('img_path')
    return Path(path).stem if path else f'{sample["sample_idx"]:06d}'


def _full_size(sample: dict) -> Tensor:
    """The prediction resized to its ground truth, or else to the input image."""
    image = sample['pred_img'].cpu()
    gt = sample.get('gt_img')
    size = sample.get('ori_shape', image.shape[-2:]) if gt is None else gt.shape
    return enlarge(image, size[-2:])


@METRICS.register_module()
class DumpImages(BaseMetric):
    """Writes each ``pred_img`` as a PNG named like its input image.

    The PNGs have 8 bits, one channel where the prediction has one, and the size of the
    ground truth (of the input image where there is no ground truth). Where two input
    images have one name, the number of the later one is appended.

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
        self._older = {path.name for path in self.out_dir.glob('*.png')}

    def process(self, data_batch, data_samples: Sequence[dict]) -> None:
        """Write a batch."""
        for sample in data_samples:
            array = _full_size(sample).numpy().transpose(1, 2, 0)
            array = array[..., 0] if array.shape[2] == 1 else array
            name = f'{self._name(sample)}.png'
            with atomic_write(self.out_dir / name) as path:
                Image.fromarray(array).save(path)
            self._older.discard(name)

    def _name(self, sample: dict) -> str:
        stem, index = _stem(sample), sample['sample_idx']
        if self._first.setdefault(stem, index) == index:
            return stem
        return f'{stem}_{index:06d}'

    def compute_metrics(self, results: list) -> dict:
        """Compute no score."""
        return {}

    def evaluate(self, size: int) -> dict:
        """Log where the images are, and warn of older ones beside them.

        Raises:
            ValueError: processes have written different images of one name.
        """
        ranks = all_gather_object(self._first)
        self._first = {}
        names = {name for first in ranks for name in first}
        lost = [n for n in sorted(names) if len({f[n] for f in ranks if n in f}) > 1]
        if lost:
            raise ValueError(
                f'{len(lost)} names belong to several images, for instance {lost[:3]}, '
                "and processes have overwritten each other's predictions in "
                f'{self.out_dir}. Write them with one process.'
            )
        print_log(f'Predictions written to {self.out_dir}', logger='current')
        older = sorted(set.intersection(*all_gather_object(self._older)))
        if older:
            print_log(
                f'{self.out_dir} also has {len(older)} PNG files that this test did '
                f'not write, for instance {older[:3]}. Remove them before you score '
                'the folder.',
                logger='current',
                level=logging.WARNING,
            )
        return {}


@METRICS.register_module()
class DumpCocoRle(BaseMetric):
    """Writes maps as COCO results: run-length encoded masks in one JSON file.

    An entry per image: the mask above the threshold, and as score the mean of the map
    inside it. The size is that of the ground truth, as in :class:`DumpImages`. Images
    without such a pixel have no entry, as in detection.

    Args:
        out_file: JSON file.
        threshold: a pixel at or above it belongs to the mask, in (0, 1].
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
