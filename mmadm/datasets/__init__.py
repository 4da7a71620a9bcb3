"""Data sets and their seeds."""

from .image_dataset import ImageDataset, ScikitImagePhotos
from .seed_dataset import SeedDataset
from .seeded import SeededDataset, SeededIndex, SeededInfiniteSampler

__all__ = [
    'ImageDataset',
    'ScikitImagePhotos',
    'SeedDataset',
    'SeededDataset',
    'SeededIndex',
    'SeededInfiniteSampler',
]
