"""Frechet distance over features of a small network."""

from pathlib import Path

from mmengine.device import get_device

from mmadm.registry import DATASETS, METRICS

from .encoder_features import EncoderFeatures
from .feature_extractor import FeatureExtractor
from .frechet import frechet_distance
from .reference import Reference, measure_dataset, measure_folder
from .sample_set import Samples, SampleSetMetric
from .squeezenet_features import SqueezeNetFeatures


def small_extractor(network: str, weights: str | None = None) -> FeatureExtractor:
    """The extractor of a small network: 'squeezenet', or a shipped model's encoder.

    Args:
        network: 'squeezenet', or the name of a shipped model.
        weights: see :class:`SqueezeNetFeatures` and :class:`EncoderFeatures`.
    """
    if network == SqueezeNetFeatures.name:
        return SqueezeNetFeatures(weights)
    return EncoderFeatures(network, weights)


@METRICS.register_module()
class FrechetDistance(SampleSetMetric):
    """Frechet distance of samples and real images over features of a small network.

    This is not FID: the network is another one, and so are the numbers. It serves where
    Inception's weights are missing, and it is faster. Compare it only with itself, for
    equal numbers of samples: ``frechet_squeezenet200`` against a set of real images,
    ``frechet_paired_squeezenet200`` against the ``gt_img`` of the same samples. Each
    name contains the network.

    Args:
        reference: the real images: a folder; statistics made by
            ``tools/analysis_tools/fid_stats.py --network ...``; or the config of a
            dataset, of whose samples ``gt_img`` is taken. None compares with the
            ``gt_img`` of the same samples.
        reference_size: resize the square images of the folder to this height and width
            (Lanczos).
        network: whose features are compared: 'squeezenet', which needs a file of
            weights; or the name of a shipped model with a condition encoder, such as
            'adm_edge_small', which needs none.
        weights: of the network, see :class:`SqueezeNetFeatures` and
            :class:`EncoderFeatures`.
        prefix: put before the names of the results.

    Raises:
        FileNotFoundError: there are no weights, or no real images.
        ValueError: the network is unknown, or the statistics do not fit.
    """

    def __init__(
        self,
        reference: str | dict | None = None,
        reference_size: int | None = None,
        network: str = 'squeezenet',
        weights: str | None = None,
        prefix: str | None = None,
    ) -> None:
        extractor = small_extractor(network, weights)
        super().__init__(extractor, with_gt=reference is None, prefix=prefix)
        if isinstance(reference, dict):
            dataset = DATASETS.build(reference)
            self.reference = measure_dataset(dataset, extractor, get_device())
        elif reference is not None and Path(reference).is_dir():
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
