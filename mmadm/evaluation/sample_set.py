"""Base class of metrics that compare a set of samples with a set of real images."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from mmengine.dist import (
    all_gather_object,
    broadcast_object_list,
    get_rank,
    get_world_size,
    is_main_process,
)
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from torch import Tensor

from .feature_extractor import FeatureExtractor, image_batches
from .frechet import FeatureStatistics, StreamingMoments
from .reference import Reference
from .sample_fields import required

#: Below this, FID depends more on the number of samples than on their quality.
_COMPARABLE = 10_000


@dataclass
class Samples:
    """Features of the samples of all processes, and the real images.

    Args:
        statistics: of the samples' features.
        gt: of the features of their ``gt_img``, if these were extracted.
        features: of the first samples, (M, D), float32.
        logits: of all samples, (N, L), float32, if they were kept.
        reference: the real images.
    """

    statistics: FeatureStatistics
    gt: FeatureStatistics | None
    features: Tensor
    logits: Tensor
    reference: Reference | None

    @property
    def name(self) -> str:
        """Number of samples in the form '50k'."""
        return short_count(self.statistics.count)

    @property
    def kept(self) -> str:
        """Number of samples whose features were kept."""
        return short_count(len(self.features))


def short_count(count: int) -> str:
    """'50k' for 50,000; numbers that this would round stay as they are."""
    return str(count) if count % 1000 else f'{count // 1000}k'


class SampleSetMetric(BaseMetric):
    """Base class: features of all samples, each counted once.

    Each process extracts features of the samples whose ``sample_idx`` is its own and
    drops those that only pad its batches, so scores do not depend on the number of
    processes. A subclass has the method :meth:`compute_metrics`. It reads weights and
    statistics when it is constructed, before anything is sampled.

    Args:
        extractor: computes the features.
        max_features: number of samples, the first ones, whose features are kept.
        least: required number of samples.
        with_gt: extract features of ``gt_img`` too.
        with_logits: keep the logits.
        prefix: put before the names of the results.
    """

    #: Scores sets of images: a single image has no score.
    of_sets = True
    # MMEngine warns of metrics without a prefix.
    default_prefix = ''

    def __init__(
        self,
        extractor: FeatureExtractor,
        max_features: int = 0,
        least: int = 2,
        with_gt: bool = False,
        with_logits: bool = False,
        prefix: str | None = None,
    ) -> None:
        super().__init__(prefix=prefix)
        self.extractor = extractor
        self.max_features = max_features
        self.least = least
        self.with_gt = with_gt
        self.with_logits = with_logits
        self.reference: Reference | None = None
        self._reset()

    def _reset(self) -> None:
        self._fake = StreamingMoments(self.extractor.dim)
        self._gt = StreamingMoments(self.extractor.dim)
        self._features: dict[int, Tensor] = {}
        self._logits: dict[int, Tensor] = {}

    def process(self, data_batch, data_samples: Sequence[dict]) -> None:
        """Extract the features of those samples that belong to this process."""
        samples = {
            sample['sample_idx']: sample
            for sample in data_samples
            if sample['sample_idx'] % get_world_size() == get_rank()
        }
        if not samples:
            return

        def fields(key: str) -> list[Tensor]:
            metric = type(self).__name__
            return [required(sample, key, metric) for sample in samples.values()]

        images = fields('pred_img')
        if self.reference is not None:
            for image in images:
                self.reference.check_size(image)
        features, logits = self.extractor(images)
        self._fake.add(features)
        if self.with_gt:
            self._gt.add(self.extractor(fields('gt_img'))[0])
        if self.with_logits:
            self._logits.update(zip(samples, logits.cpu()))
        kept = zip(samples, features.cpu())
        self._features.update((i, f) for i, f in kept if i < self.max_features)

    def evaluate(self, size: int) -> dict[str, float]:
        """Scores of all ``size`` samples, on every process.

        Raises:
            ValueError: a sample is missing or was seen twice, or there are too few.
        """
        for moments in (self._fake, self._gt):
            moments.reduce()
        features, logits = map(gather, (self._features, self._logits))
        fake, gt = self._fake, self._gt
        self._reset()
        _check_count(fake.count, size, self.least)

        scores = [None]
        if is_main_process():
            samples = Samples(
                fake.statistics(),
                gt.statistics() if gt.count else None,
                features,
                logits,
                self.reference,
            )
            scores = [self._named(self.compute_metrics(samples))]
        broadcast_object_list(scores)
        return scores[0]

    def _named(self, scores: dict[str, float]) -> dict[str, float]:
        before = f'{self.prefix}/' if self.prefix else ''
        after = '_random_weights' if self.extractor.is_random else ''
        return {f'{before}{key}{after}': value for key, value in scores.items()}


def score_images(
    metric: SampleSetMetric, images: Iterable[np.ndarray], device: str = 'cpu'
) -> dict[str, float]:
    """Scores of samples that exist already.

    Args:
        metric: with measures that need no ``gt_img``.
        images: (H, W, 3), uint8, RGB.
        device: where the network computes.
    """
    count = 0
    for batch in image_batches(iter(images), device):
        indices = range(count, count + len(batch))
        samples = [dict(sample_idx=i, pred_img=x) for i, x in zip(indices, batch)]
        metric.process(None, samples)
        count += len(batch)
    return metric.evaluate(count)


def gather(parts: dict[int, Tensor]) -> Tensor:
    """Rows of all processes, in the order of the samples."""
    rows: dict[int, Tensor] = {}
    for part in all_gather_object(parts):
        rows.update(part)
    return torch.stack([rows[i] for i in sorted(rows)]) if rows else torch.empty(0)


def _check_count(count: int, size: int, least: int) -> None:
    if size < least:
        raise ValueError(
            f'The measures need at least {least} samples, but there are {size}. '
            'Generate more; the paper scores 50,000 or 30,000.'
        )
    if count != size:
        raise ValueError(
            f'A score of {size} samples must see each of them once, but {count} were '
            'seen. Use DefaultSampler(shuffle=False) in the data loader, and a '
            'dataset that numbers its samples.'
        )
    if size < _COMPARABLE:
        print_log(
            f'Scores of {size} samples: Frechet distances are biased upwards with so '
            'few. Compare them only with scores of as many samples.',
            'current',
            logging.WARNING,
        )
