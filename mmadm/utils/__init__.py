"""Helpers that several modules share."""

from .device import check_device
from .images import enlarge, resize
from .inference import cast_weights, fold_weights, prepare_inference
from .matlab_resize import matlab_resize
from .names import as_names
from .noise import SampleNoise
from .seeding import check_seed, mix_seed, seed_everything, seed_host
from .setup import register_all_modules
from .unwrap import unwrap_model
from .versions import require_torch

__all__ = [
    'SampleNoise',
    'as_names',
    'cast_weights',
    'check_device',
    'check_seed',
    'enlarge',
    'fold_weights',
    'matlab_resize',
    'mix_seed',
    'prepare_inference',
    'register_all_modules',
    'require_torch',
    'resize',
    'seed_everything',
    'seed_host',
    'unwrap_model',
]
