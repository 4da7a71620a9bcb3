"""Benchmark scores."""

from .dump import DumpSamples
from .dump_images import DumpCocoRle, DumpImages
from .edge import EdgeMetric
from .fidelity import ImageFidelity, psnr, ssim
from .generative import (
    InceptionMetrics,
    inception_score,
    kernel_distance,
    precision_recall,
    score_pictures,
)
from .inception import InceptionFeatures
from .reference import Reference, measure_reference
from .saliency import SaliencyMetric
from .statistics import FeatureStatistics, StreamingMoments, frechet_distance

__all__ = [
    'DumpCocoRle',
    'DumpImages',
    'DumpSamples',
    'EdgeMetric',
    'FeatureStatistics',
    'ImageFidelity',
    'InceptionFeatures',
    'InceptionMetrics',
    'Reference',
    'SaliencyMetric',
    'StreamingMoments',
    'frechet_distance',
    'inception_score',
    'kernel_distance',
    'measure_reference',
    'precision_recall',
    'psnr',
    'score_pictures',
    'ssim',
]
