"""Metrics of the benchmarks."""

from .dump import DumpSamples
from .dump_images import DumpCocoRle, DumpImages
from .edge import EdgeMetric
from .encoder_features import EncoderFeatures
from .fidelity import ImageFidelity, psnr, ssim
from .frechet import FeatureStatistics, StreamingMoments, frechet_distance
from .frechet_metric import FrechetDistance, small_extractor
from .generative import (
    InceptionMetrics,
    inception_score,
    kernel_distance,
    precision_recall,
)
from .inception import InceptionFeatures
from .reference import Reference, measure_reference
from .saliency import SaliencyMetric
from .sample_set import score_images
from .squeezenet_features import SqueezeNetFeatures

__all__ = [
    'DumpCocoRle',
    'DumpImages',
    'DumpSamples',
    'EdgeMetric',
    'EncoderFeatures',
    'FeatureStatistics',
    'FrechetDistance',
    'ImageFidelity',
    'InceptionFeatures',
    'InceptionMetrics',
    'Reference',
    'SaliencyMetric',
    'SqueezeNetFeatures',
    'StreamingMoments',
    'frechet_distance',
    'inception_score',
    'kernel_distance',
    'measure_reference',
    'precision_recall',
    'psnr',
    'score_images',
    'small_extractor',
    'ssim',
]
