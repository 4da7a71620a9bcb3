"""Data sets and their seeds."""

from .cifar10 import CIFAR10Images
from .image_dataset import ImageDataset, ScikitImagePhotos
from .seed_dataset import SeedDataset
from .seeded import SeededDataset, SeededIndex, SeededInfiniteSampler

__all__ = [
    'CIFAR10Images',
    'ImageDataset',
    'ScikitImagePhotos',
    'SeedDataset',
    'SeededDataset',
    'SeededIndex',
    'SeededInfiniteSampler',
]
