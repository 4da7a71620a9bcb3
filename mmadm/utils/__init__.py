"""Small helpers that belong to no single room."""

from .noise import SampleNoise
from .setup import register_all_modules

__all__ = ['SampleNoise', 'register_all_modules']
