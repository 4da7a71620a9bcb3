"""Checkpoints: safe loading, atomic saving, publishing; converters below."""

from .loaders import install_safe_loaders, restore_loaders, safe_loaders
from .publishing import publish_weights
from .reading import file_sha256, read_checkpoint, trust_checkpoint
from .saving import find_checkpoint, write_checkpoint
from .weights import check_fit, load_weights, put_weights, read_weights

__all__ = [
    'check_fit',
    'file_sha256',
    'find_checkpoint',
    'install_safe_loaders',
    'load_weights',
    'publish_weights',
    'put_weights',
    'read_checkpoint',
    'read_weights',
    'restore_loaders',
    'safe_loaders',
    'trust_checkpoint',
    'write_checkpoint',
]
