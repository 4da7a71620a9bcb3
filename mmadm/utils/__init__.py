"""Small helpers that belong to no single room."""

from .images import resize
from .noise import SampleNoise
from .seeding import mix_seed, seed_everything
from .setup import register_all_modules

__all__ = [
    'SampleNoise',
    'mix_seed',
    'register_all_modules',
    'resize',
    'seed_everything',
]
