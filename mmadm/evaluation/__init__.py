"""Benchmark scores."""

from .dump import DumpSamples
from .dump_images import DumpCocoRle, DumpImages
from .edge import EdgeMetric
from .fidelity import ImageFidelity, psnr, ssim
from .frechet import FeatureStatistics, StreamingMoments, frechet_distance
from .generative import (
    InceptionMetrics,
    inception_score,
    kernel_distance,
    precision_recall,
    score_images,
)
from .inception import InceptionFeatures
from .reference import Reference, measure_reference
from .saliency import SaliencyMetric

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
    'score_images',
    'ssim',
]
