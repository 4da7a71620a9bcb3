"""Checkpoints: safe loading, atomic saving, published models; converters below."""

from .loaders import install_safe_loaders, restore_loaders, safe_loaders
from .posthoc_ema import reconstruct_average
from .publishing import hash_data, load_published, publish_model, publish_weights
from .reading import file_sha256, read_checkpoint, trust_checkpoint
from .saving import find_checkpoint, write_checkpoint
from .structure import check_resumable
from .weights import check_fit, load_weights, put_weights, read_weights
from .zoo import ModelSource, find_config, find_weights, model_zoo, resolve_model

__all__ = [
    'ModelSource',
    'check_fit',
    'check_resumable',
    'file_sha256',
    'find_checkpoint',
    'find_config',
    'find_weights',
    'hash_data',
    'install_safe_loaders',
    'load_published',
    'load_weights',
    'model_zoo',
    'publish_model',
    'publish_weights',
    'put_weights',
    'read_checkpoint',
    'read_weights',
    'reconstruct_average',
    'resolve_model',
    'restore_loaders',
    'safe_loaders',
    'trust_checkpoint',
    'write_checkpoint',
]
