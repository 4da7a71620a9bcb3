"""Datasets, and the seeds of their random transforms."""

from .cached_latents import CachedLatents
from .cifar10 import CIFAR10Images
from .coco_saliency import CocoSaliency
from .image_dataset import ImageDataset, ScikitImagePhotos
from .image_source import ImageSource, open_images
from .inference_dataset import InferenceDataset
from .joined import JoinedDataset
from .seed_dataset import SeedDataset
from .seeded import SeededDataset, SeededIndex, SeededInfiniteSampler

__all__ = [
    'CIFAR10Images',
    'CachedLatents',
    'CocoSaliency',
    'ImageDataset',
    'ImageSource',
    'InferenceDataset',
    'JoinedDataset',
    'ScikitImagePhotos',
    'SeedDataset',
    'SeededDataset',
    'SeededIndex',
    'SeededInfiniteSampler',
    'open_images',
]
