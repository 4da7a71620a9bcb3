"""How good a set of samples is: FID, IS, KID, precision and recall."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

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

from mmadm.registry import METRICS

from .frechet import FeatureStatistics, StreamingMoments, frechet_distance
from .inception import InceptionFeatures
from .reference import Reference, image_batches
from .sample_fields import required

#: Below this, FID falls with the number of samples faster than with their quality.
_COMPARABLE = 10_000


@dataclass
class Samples:
    """All that was seen, of all processes.

    Args:
        statistics: of the samples' features.
        truth: of the features of their ``gt_img``, if these were measured.
        features: of the first samples, (M, D), float32.
        logits: of all samples, (N, 1008), float32, if they were kept.
        reference: the real images.
    """

    statistics: FeatureStatistics
    truth: FeatureStatistics | None
    features: Tensor
    logits: Tensor
    reference: Reference | None

    @property
    def name(self) -> str:
        """Number of samples as in '50k'."""
        return short_count(self.statistics.count)

    @property
    def part(self) -> str:
        """Number of samples whose features were kept."""
        return short_count(len(self.features))


def short_count(count: int) -> str:
    """'50k' for 50,000; other numbers as they are, so that none is rounded."""
    return str(count) if count % 1000 else f'{count // 1000}k'


def inception_score(logits: Tensor) -> tuple[float, float]:
    """Mean and standard deviation over 10 splits, Salimans et al. 2016.

    Fewer than 100 samples are not split: of one alone the score is always 1.

    Args:
        logits: (N, C); shuffled with the seed 2020.
    """
    from torch_fidelity.metric_isc import isc_features_to_metric

    splits = 10 if len(logits) >= 100 else 1
    scores = isc_features_to_metric(logits, splits=splits, rng_seed=2020)
    return scores['inception_score_mean'], scores['inception_score_std']


def kernel_distance(
    fake: Tensor, real: Tensor, subsets: int = 100, size: int = 1000
) -> tuple[float, float]:
    """KID: mean and standard deviation over subsets, Binkowski et al. 2018.

    Unbiased: unlike FID its mean does not depend on the number of images.

    Args:
        fake: features of samples, (N, D).
        real: features of real images, (M, D).
        subsets: how many.
        size: images of each; all where there are fewer.
    """
    from torch_fidelity.metric_kid import kid_features_to_metric

    scores = kid_features_to_metric(
        fake,
        real,
        kid_subsets=subsets,
        kid_subset_size=min(size, len(fake), len(real)),
        rng_seed=2020,
        verbose=False,
    )
    mean, std = scores.values()
    return mean, std


def precision_recall(fake: Tensor, real: Tensor) -> tuple[float, float]:
    """Shares of samples near real images, and the reverse, Kynkaanniemi et al. 2019.

    Near is what lies within the distance to the third neighbour. In the space of the
    given features; the paper's is that of a VGG16.

    Args:
        fake: features of samples, (N, D).
        real: features of real images, (M, D).
    """
    from torch_fidelity.metric_prc import prc_features_to_metric

    scores = prc_features_to_metric(fake, real, save_cpu_ram=True, verbose=False)
    return scores['precision'], scores['recall']


def _fid(samples: Samples, key: str = 'fid') -> dict[str, float]:
    distance = frechet_distance(samples.statistics, samples.reference.statistics)
    return {f'{key}{samples.name}': distance}


def _fid_paired(samples: Samples) -> dict[str, float]:
    distance = frechet_distance(samples.statistics, samples.truth)
    return {f'fid_paired{samples.name}': distance}


def _is(samples: Samples) -> dict[str, float]:
    mean, std = inception_score(samples.logits)
    return {f'is{samples.name}': mean, f'is{samples.name}_std': std}


def _kid(samples: Samples) -> dict[str, float]:
    mean, std = kernel_distance(samples.features, samples.reference.features)
    key = f'kid{samples.part}_x1000'
    return {key: 1000 * mean, f'{key}_std': 1000 * std}


def _pr(samples: Samples) -> dict[str, float]:
    precision, recall = precision_recall(samples.features, samples.reference.features)
    return {f'precision{samples.part}': precision, f'recall{samples.part}': recall}


MEASURES: dict[str, Callable[[Samples], dict[str, float]]] = {
    'fid': _fid,
    'fid_full': partial(_fid, key='fid_full'),
    'fid_paired': _fid_paired,
    'is': _is,
    'kid': _kid,
    'pr': _pr,
}
_WITH_REFERENCE = {'fid', 'fid_full', 'kid', 'pr'}
_WITH_FEATURES = {'kid', 'pr'}


@METRICS.register_module()
class InceptionMetrics(BaseMetric):
    """Scores of a set of samples by Inception features.

    Results carry the number of samples: ``fid50k``, ``is50k`` and ``is50k_std``,
    ``kid10k_x1000`` (a thousand times KID) and its ``_std``, ``precision10k`` and
    ``recall10k``. Never compare scores of different numbers. Scores of random weights
    end in ``_random_weights``.

    Every sample counts once, whatever the number of processes: each process scores the
    samples whose ``sample_idx`` is its own and drops those that only pad its batches.
    Weights and statistics are read at construction, before anything is sampled.

    Args:
        measures: some of 'fid' (the paper's Table II), 'is', 'kid', 'pr' (precision and
            recall), and for image-to-image tasks 'fid_paired' (against the ``gt_img``
            of the same samples, as LaMa scores inpainting) and 'fid_full' (another name
            of 'fid', against all images of the data set).
        reference: statistics of the real images, a file that
            ``tools/analysis_tools/fid_stats.py`` has written; not needed for 'is' and
            'fid_paired'.
        reference_count: number of real images that the statistics must be of.
        weights: of the network, see :class:`InceptionFeatures`.
        max_features: KID, precision and recall compare that many samples, the first.
        prefix: put before the names of the results.

    Raises:
        FileNotFoundError: there are no weights or no statistics.
        ValueError: statistics and network do not fit, or a measure is unknown.
    """

    # MMEngine warns of metrics without a prefix.
    default_prefix = ''

    def __init__(
        self,
        measures: Sequence[str] = ('fid',),
        reference: str | None = None,
        reference_count: int | None = None,
        weights: str | None = None,
        max_features: int = 10_000,
        prefix: str | None = None,
    ) -> None:
        super().__init__(prefix=prefix)
        unknown = set(measures) - set(MEASURES)
        if unknown or not measures:
            raise ValueError(
                f'Unknown measures {sorted(unknown)}. Use some of {sorted(MEASURES)}.'
            )
        if max_features < 4:
            raise ValueError(
                'KID, precision and recall compare four samples at least, but '
                f'max_features={max_features}. Give 10000.'
            )
        self.measures = tuple(measures)
        self.max_features = max_features if _WITH_FEATURES & set(measures) else 0
        self.extractor = InceptionFeatures(weights)
        self.reference = self._load_reference(reference, reference_count)
        self._forget()

    def _load_reference(self, path: str | None, count: int | None) -> Reference | None:
        if not _WITH_REFERENCE & set(self.measures):
            return None
        if path is None:
            raise ValueError(
                f'The measures {list(self.measures)} compare with real images, but '
                'reference=None. Give the statistics that tools/analysis_tools/'
                'fid_stats.py writes.'
            )
        reference = Reference.load(path)
        reference.check(path, self.extractor, count)
        if _WITH_FEATURES & set(self.measures) and len(reference.features) < 4:
            raise ValueError(
                f'KID, precision and recall compare features, but {path} keeps those '
                f'of {len(reference.features)} images. Make it again with '
                'fid_stats.py --features 10000.'
            )
        return reference

    def _forget(self) -> None:
        self._fake = StreamingMoments(self.extractor.dim)
        self._truth = StreamingMoments(self.extractor.dim)
        self._features: dict[int, Tensor] = {}
        self._logits: dict[int, Tensor] = {}

    def process(self, data_batch, data_samples: Sequence[dict]) -> None:
        """Look at the samples that are this process's."""
        samples = {
            sample['sample_idx']: sample
            for sample in data_samples
            if sample['sample_idx'] % get_world_size() == get_rank()
        }
        if not samples:
            return

        def see(key: str) -> tuple[Tensor, Tensor]:
            images = [required(x, key, 'InceptionMetrics') for x in samples.values()]
            return self.extractor(images)

        features, logits = see('pred_img')
        self._fake.add(features)
        if 'fid_paired' in self.measures:
            self._truth.add(see('gt_img')[0])
        if 'is' in self.measures:
            self._logits.update(zip(samples, logits.cpu()))
        kept = zip(samples, features.cpu())
        self._features.update((i, f) for i, f in kept if i < self.max_features)

    def evaluate(self, size: int) -> dict[str, float]:
        """Scores of all ``size`` samples, on every process.

        Raises:
            ValueError: not every sample was seen exactly once, or there are too few.
        """
        for moments in (self._fake, self._truth):
            moments.reduce()
        features, logits = map(gather, (self._features, self._logits))
        fake, truth = self._fake, self._truth
        self._forget()
        _check_count(fake.count, size, least=4 if 'pr' in self.measures else 2)

        scores = [None]
        if is_main_process():
            samples = Samples(
                fake.statistics(),
                truth.statistics() if truth.count else None,
                features,
                logits,
                self.reference,
            )
            scores = [self._named(self.compute_metrics(samples))]
        broadcast_object_list(scores)
        return scores[0]

    def compute_metrics(self, samples: Samples) -> dict[str, float]:
        """All measures."""
        scores = {}
        for measure in self.measures:
            scores.update(MEASURES[measure](samples))
        return scores

    def _named(self, scores: dict[str, float]) -> dict[str, float]:
        before = f'{self.prefix}/' if self.prefix else ''
        after = '_random_weights' if self.extractor.is_random else ''
        return {f'{before}{key}{after}': value for key, value in scores.items()}


def score_images(
    metric: InceptionMetrics, pictures: Iterable[np.ndarray], device: str = 'cpu'
) -> dict[str, float]:
    """Scores of samples that exist already.

    Args:
        metric: with measures that need no ``gt_img``.
        pictures: (H, W, 3), uint8, RGB.
        device: where the network computes.
    """
    count = 0
    for images in image_batches(pictures, device):
        indices = range(count, count + len(images))
        samples = [dict(sample_idx=i, pred_img=x) for i, x in zip(indices, images)]
        metric.process(None, samples)
        count += len(images)
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
            'seen. Use DefaultSampler(shuffle=False) in the data loader, and a data '
            'set that numbers its samples.'
        )
    if size < _COMPARABLE:
        print_log(
            f'Scores of {size} samples: FID is too high with so few, and must only be '
            'compared with that of as many.',
            'current',
            logging.WARNING,
        )
