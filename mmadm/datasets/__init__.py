"""Data sets and their seeds."""

from .cached_latents import CachedLatents
from .cifar10 import CIFAR10Images
from .coco_saliency import CocoSaliency
from .given_pictures import GivenPictures
from .image_dataset import ImageDataset, ScikitImagePhotos
from .pictures import Pictures, open_pictures
from .seed_dataset import SeedDataset
from .seeded import SeededDataset, SeededIndex, SeededInfiniteSampler

__all__ = [
    'CIFAR10Images',
    'CachedLatents',
    'CocoSaliency',
    'GivenPictures',
    'ImageDataset',
    'Pictures',
    'ScikitImagePhotos',
    'SeedDataset',
    'SeededDataset',
    'SeededIndex',
    'SeededInfiniteSampler',
    'open_pictures',
]
