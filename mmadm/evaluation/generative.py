"""Scores of sets of samples: FID, IS, KID, precision and recall."""

from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor

from mmadm.registry import METRICS
from mmadm.utils import as_names

from .frechet import frechet_distance
from .inception import InceptionFeatures
from .reference import Reference
from .sample_fields import check_finite
from .sample_set import Samples, SampleSetMetric


def inception_score(logits: Tensor) -> tuple[float, float]:
    """Inception Score (Salimans et al., 2016): mean and deviation over 10 splits.

    Fewer than 100 samples are not split: the score of one sample is always 1.

    Args:
        logits: (N, C); shuffled with the seed 2020.
    """
    check_finite(logits, 'logits')
    from torch_fidelity.metric_isc import isc_features_to_metric

    splits = 10 if len(logits) >= 100 else 1
    scores = isc_features_to_metric(logits, splits=splits, rng_seed=2020)
    return scores['inception_score_mean'], scores['inception_score_std']


def kernel_distance(
    fake: Tensor, real: Tensor, subsets: int = 100, size: int = 1000
) -> tuple[float, float]:
    """KID (Binkowski et al., 2018): mean and standard deviation over subsets.

    It is unbiased: unlike FID, its mean does not depend on the number of images.

    Args:
        fake: features of samples, (N, D).
        real: features of real images, (M, D).
        subsets: number of subsets.
        size: number of images of each; all images where there are fewer.
    """
    check_finite(fake, 'features of the samples')
    check_finite(real, 'features of the real images')
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
    """Precision and recall of samples (Kynkaanniemi et al., 2019).

    Precision is the fraction of samples near a real image, recall the reverse. Near
    means within the distance to the third nearest neighbour, in the space of the given
    features; the paper uses those of a VGG16.

    Args:
        fake: features of samples, (N, D).
        real: features of real images, (M, D).
    """
    check_finite(fake, 'features of the samples')
    check_finite(real, 'features of the real images')
    from torch_fidelity.metric_prc import prc_features_to_metric

    scores = prc_features_to_metric(fake, real, save_cpu_ram=True, verbose=False)
    return scores['precision'], scores['recall']


def _fid(samples: Samples, key: str = 'fid') -> dict[str, float]:
    distance = frechet_distance(samples.statistics, samples.reference.statistics)
    return {f'{key}{samples.name}': distance}


def _fid_paired(samples: Samples) -> dict[str, float]:
    distance = frechet_distance(samples.statistics, samples.gt)
    return {f'fid_paired{samples.name}': distance}


def _is(samples: Samples) -> dict[str, float]:
    mean, std = inception_score(samples.logits)
    return {f'is{samples.name}': mean, f'is{samples.name}_std': std}


def _kid(samples: Samples) -> dict[str, float]:
    mean, std = kernel_distance(samples.features, samples.reference.features)
    key = f'kid{samples.kept}_x1000'
    return {key: 1000 * mean, f'{key}_std': 1000 * std}


def _pr(samples: Samples) -> dict[str, float]:
    precision, recall = precision_recall(samples.features, samples.reference.features)
    return {f'precision{samples.kept}': precision, f'recall{samples.kept}': recall}


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
class InceptionMetrics(SampleSetMetric):
    """FID, IS, KID, precision and recall of a set of samples, by Inception features.

    Names of results carry the number of samples: ``fid50k``, ``is50k`` and
    ``is50k_std``, ``kid10k_x1000`` (a thousand times KID) and its ``_std``,
    ``precision10k`` and ``recall10k``. Never compare scores of different numbers.
    Scores of random weights end in ``_random_weights``.

    Args:
        measures: some of 'fid' (the paper's Table II), 'is', 'kid', 'pr' (precision and
            recall), and for image-to-image tasks 'fid_paired' (against the ``gt_img``
            of the same samples, as LaMa scores inpainting) and 'fid_full' (another name
            of 'fid', against all images of the dataset).
        reference: statistics of the real images, a file made by
            ``tools/analysis_tools/fid_stats.py``; not needed for 'is' and 'fid_paired'.
        reference_count: required number of real images.
        weights: of the network, see :class:`InceptionFeatures`.
        max_features: number of samples, the first ones, that KID, precision and recall
            compare.
        prefix: put before the names of the results.

    Raises:
        FileNotFoundError: there are no weights or no statistics.
        ValueError: statistics and network do not fit, or a measure is unknown.
    """

    def __init__(
        self,
        measures: str | Sequence[str] = ('fid',),
        reference: str | None = None,
        reference_count: int | None = None,
        weights: str | None = None,
        max_features: int = 10_000,
        prefix: str | None = None,
    ) -> None:
        measures = as_names(measures)
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
        super().__init__(
            InceptionFeatures(weights),
            max_features=max_features if _WITH_FEATURES & set(measures) else 0,
            least=4 if 'pr' in measures else 2,
            with_gt='fid_paired' in measures,
            with_logits='is' in measures,
            prefix=prefix,
        )
        self.measures = measures
        if _WITH_REFERENCE & set(measures):
            self.reference = self._load_reference(reference, reference_count)

    def _load_reference(self, path: str | None, count: int | None) -> Reference:
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

    def compute_metrics(self, samples: Samples) -> dict[str, float]:
        """All measures."""
        scores = {}
        for measure in self.measures:
            scores.update(MEASURES[measure](samples))
        return scores
