"""Converts torchvision's weights of Swin to MMPretrain's layout."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from mmadm.checkpoints.weights import check_fit
from mmadm.models.condition_encoders.swin import swin_keys
from mmadm.registry import MODELS

from .foreign_files import read_foreign, stored_weights
from .writing import check_target, write_weights

# Width of the first stage and blocks of the third -> name.
_SIZES = {(96, 6): 'tiny', (96, 18): 'small', (128, 18): 'base'}


def convert_swin(source: str | Path, target: str | Path) -> str:
    """Write torchvision's Swin as a file for MMPretrain, and for ``SwinEncoder``.

    Args:
        source: torchvision's file, such as ``swin_b-68c6b09e.pth``.
        target: ``.safetensors`` file: the backbone with its last norm, without the
            classifier.

    Returns:
        the size: 'tiny', 'small' or 'base'.

    Raises:
        FileNotFoundError: ``source`` does not exist.
        ValueError: it is broken or another network, or ``target`` has another suffix.
    """
    check_target(target)
    weights, _ = stored_weights(read_foreign(source), source)
    own = swin_keys(weights)
    arch, in_channels = _size(own, source)
    with torch.device('meta'):
        encoder = MODELS.build(
            dict(type='SwinEncoder', arch=arch, in_channels=in_channels)
        )
    check_fit(encoder.backbone, own, source)
    own |= {
        f'norm3.{key.removeprefix("norm.")}': tensor
        for key, tensor in weights.items()
        if key.startswith('norm.')
    }
    write_weights(own, target, source, arch=arch)
    return arch


def _size(own: Mapping[str, Tensor], source: str | Path) -> tuple[str, int]:
    """Name of the size, and channels of the image."""
    stem = own.get('patch_embed.projection.weight', torch.empty(0, 0))
    blocks = {key.split('.')[3] for key in own if key.startswith('stages.2.blocks.')}
    found = (stem.shape[0], len(blocks))
    if found not in _SIZES:
        raise ValueError(
            f'Not a Swin of torchvision: {source} has width {found[0]} and {found[1]} '
            'blocks in its third stage. Supported are '
            + ', '.join(f'{name} {size}' for size, name in _SIZES.items())
            + '; give the file of one of them.'
        )
    return _SIZES[found], stem.shape[1]
