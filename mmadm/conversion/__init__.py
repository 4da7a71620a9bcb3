"""From the authors' checkpoints to ours."""

from .heads import relation_keys, unconditional_keys

__all__ = ['relation_keys', 'unconditional_keys']
