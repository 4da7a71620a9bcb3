"""Frechet distance over features of a small network."""

from pathlib import Path
from typing import Literal

from mmengine.device import get_device

from mmadm.registry import METRICS

from .feature_extractor import FeatureExtractor
from .frechet import frechet_distance
from .reference import Reference, measure_folder
from .sample_set import Samples, SampleSetMetric
from .squeezenet_features import SqueezeNetFeatures

EXTRACTORS: dict[str, type[FeatureExtractor]] = {
    SqueezeNetFeatures.name: SqueezeNetFeatures
}


@METRICS.register_module()
class FrechetDistance(SampleSetMetric):
    """Frechet distance of samples and real images over features of a small network.

    This is not FID: the network is another one, and so are the numbers. It serves where
    Inception's weights are missing, and it is faster. Compare it only with itself, for
    equal numbers of samples: ``frechet_squeezenet200`` against a set of real images,
    ``frechet_paired_squeezenet200`` against the ``gt_img`` of the same samples.

    Args:
        reference: the real images: a folder, or statistics made by
            ``tools/analysis_tools/fid_stats.py --network squeezenet``; None compares
            with the ``gt_img`` of the same samples.
        reference_size: resize the square images of the folder to this height and width
            (Lanczos).
        network: whose features are compared.
        weights: of the network, see :class:`SqueezeNetFeatures`.
        prefix: put before the names of the results.

    Raises:
        FileNotFoundError: there are no weights, or no real images.
        ValueError: the network is unknown, or the statistics do not fit.
    """

    def __init__(
        self,
        reference: str | None = None,
        reference_size: int | None = None,
        network: Literal['squeezenet'] = 'squeezenet',
        weights: str | None = None,
        prefix: str | None = None,
    ) -> None:
        if network not in EXTRACTORS:
            raise ValueError(
                f'Unknown network={network!r}. Use one of {sorted(EXTRACTORS)}.'
            )
        extractor = EXTRACTORS[network](weights)
        super().__init__(extractor, with_gt=reference is None, prefix=prefix)
        if reference is not None and Path(reference).is_dir():
            self.reference = measure_folder(
                reference, extractor, reference_size, get_device()
            )
        elif reference is not None:
            self.reference = Reference.load(reference)
            self.reference.check(reference, extractor, count=None)

    def compute_metrics(self, samples: Samples) -> dict[str, float]:
        """The distance."""
        kind, real = 'frechet_paired', samples.gt
        if samples.reference is not None:
            kind, real = 'frechet', samples.reference.statistics
        distance = frechet_distance(samples.statistics, real)
        return {f'{kind}_{self.extractor.name}{samples.name}': distance}
