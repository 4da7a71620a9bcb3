"""Converters of published checkpoints to weights of mmadm."""

from .authors import convert_authors
from .first_stage import (
    convert_first_stage,
    diffusers_first_stage,
    first_stage_settings,
    ldm_first_stage,
)
from .head_keys import relation_keys, unconditional_keys
from .swin import convert_swin

__all__ = [
    'convert_authors',
    'convert_first_stage',
    'convert_swin',
    'diffusers_first_stage',
    'first_stage_settings',
    'ldm_first_stage',
    'relation_keys',
    'unconditional_keys',
]
