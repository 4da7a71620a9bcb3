"""Published weights of KL autoencoders to those of :class:`KLAutoencoder`."""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from mmadm.engine import read_checkpoint
from mmadm.registry import MODELS
from mmadm.utils.weights import check_fit

from .writing import check_target, write_weights

_PARTS = ('encoder', 'decoder', 'quant_conv', 'post_quant_conv')
_PREFIX = 'first_stage_model.'

# diffusers' names, in the order in which they are looked for.
_DIFFUSERS = (
    (r'mid_block\.resnets\.0\.', 'mid.block_1.'),
    (r'mid_block\.resnets\.1\.', 'mid.block_2.'),
    (r'mid_block\.attentions\.0\.', 'mid.attn_1.'),
    (r'attn_1\.group_norm\.', 'attn_1.norm.'),
    (r'attn_1\.(?:to_q|query)\.', 'attn_1.q.'),
    (r'attn_1\.(?:to_k|key)\.', 'attn_1.k.'),
    (r'attn_1\.(?:to_v|value)\.', 'attn_1.v.'),
    (r'attn_1\.(?:to_out\.0|proj_attn)\.', 'attn_1.proj_out.'),
    (r'down_blocks\.(\d+)\.resnets\.', r'down.\1.block.'),
    (r'down_blocks\.(\d+)\.downsamplers\.0\.', r'down.\1.downsample.'),
    (r'up_blocks\.(\d+)\.resnets\.', r'up.\1.block.'),
    (r'up_blocks\.(\d+)\.upsamplers\.0\.', r'up.\1.upsample.'),
    (r'conv_shortcut\.', 'nin_shortcut.'),
    (r'conv_norm_out\.', 'norm_out.'),
)


def convert_first_stage(
    source: str | Path, target: str | Path, scale_factor: float | None = None
) -> dict[str, Tensor]:
    """Write a published autoencoder as a file for ``KLAutoencoder(checkpoint=...)``.

    Args:
        source: file of latent diffusion, of the authors or of diffusers.
        target: ``.safetensors`` file.
        scale_factor: see :func:`ldm_first_stage`.

    Returns:
        what was written.

    Raises:
        FileNotFoundError: ``source`` does not exist.
        ValueError: it is broken or holds no autoencoder, or another one than
            ``KLAutoencoder`` can be, or ``target`` has another suffix.
    """
    check_target(target)
    weights = _weights_of(read_checkpoint(source))
    theirs = any('.down_blocks.' in key for key in weights)
    own = (diffusers_first_stage if theirs else ldm_first_stage)(weights, scale_factor)
    own = {key: value.float().contiguous() for key, value in own.items()}
    settings = first_stage_settings(own)
    with torch.device('meta'):
        stage = MODELS.build(dict(type='KLAutoencoder', **settings))
    check_fit(stage, own, source)
    write_weights(own, target, source, **settings)
    return own


def first_stage_settings(own: Mapping[str, Tensor]) -> dict[str, object]:
    """Arguments of the :class:`KLAutoencoder` that has these weights.

    Args:
        own: converted weights.

    Raises:
        ValueError: there is no such autoencoder in it.
    """
    width, in_channels, *_ = _shape(own, 'encoder.conv_in.weight')
    widths = [
        _shape(own, f'encoder.down.{level}.block.0.conv2.weight')[0]
        for level in _numbers(r'^encoder\.down\.(\d+)\.block', own)
    ]
    return dict(
        in_channels=in_channels,
        base_channels=width,
        channel_mult=tuple(wide // width for wide in widths),
        num_blocks=len(_numbers(r'^encoder\.down\.0\.block\.(\d+)\.', own)),
        latent_channels=_shape(own, 'post_quant_conv.weight')[1],
    )


def _shape(own: Mapping[str, Tensor], key: str) -> torch.Size:
    if key not in own:
        raise ValueError(
            f'No KL autoencoder in these weights: {key} missing. Give the state dict '
            'of a kl-f4 or of an AutoencoderKL.'
        )
    return own[key].shape


def _numbers(pattern: str, keys: Mapping[str, Tensor]) -> list[int]:
    """The numbers that stand at a place of the keys, in their order."""
    found = (re.search(pattern, key) for key in keys)
    return sorted({int(match[1]) for match in found if match})


def _weights_of(checkpoint: dict) -> dict[str, Tensor]:
    """The averaged weights where there are some: the authors keep them as 'ema'."""
    if 'ema' in checkpoint:
        prefix = 'ema_model.'
        return {
            key.removeprefix(prefix): value
            for key, value in checkpoint['ema'].items()
            if key.startswith(prefix)
        }
    return checkpoint.get('model', checkpoint.get('state_dict', checkpoint))


def ldm_first_stage(
    weights: Mapping[str, Tensor], scale_factor: float | None = None
) -> dict[str, Tensor]:
    """Weights of latent diffusion's ``kl-f4``, or of the authors' checkpoints.

    The names are ours; the losses, and in checkpoints of both stages the U-Net, are
    left out.

    Args:
        weights: state dict of an autoencoder (``encoder.``...), or of both stages
            (``first_stage_model.encoder.``...).
        scale_factor: of the latents; None takes the one in ``weights``, or 1.

    Raises:
        ValueError: there is no first stage in it.
    """
    if any(key.startswith(_PREFIX) for key in weights):
        scale_factor = _scale(weights, scale_factor)
        weights = {
            key.removeprefix(_PREFIX): value
            for key, value in weights.items()
            if key.startswith(_PREFIX)
        }
    own = {key: v for key, v in weights.items() if key.split('.')[0] in _PARTS}
    _check(own, weights)
    return own | dict(scale_factor=torch.tensor(_scale(weights, scale_factor)))


def diffusers_first_stage(
    weights: Mapping[str, Tensor], scale_factor: float | None = None
) -> dict[str, Tensor]:
    """Weights of diffusers' ``AutoencoderKL``.

    Args:
        weights: its state dict.
        scale_factor: ``scaling_factor`` of its ``config.json``; None takes 1.

    Raises:
        ValueError: there is no such autoencoder in it.
    """
    own = {}
    levels = 1 + max(
        (int(n) for key in weights for n in re.findall(r'up_blocks\.(\d+)', key)),
        default=-1,
    )
    for key, value in weights.items():
        name = key
        for pattern, ours in _DIFFUSERS:
            name = re.sub(pattern, ours, name)
        # Its decoder counts from the coarsest level, ours from the finest.
        name = re.sub(r'\bup\.(\d+)', lambda m: f'up.{levels - 1 - int(m[1])}', name)
        # Its attention has linear layers where ours has convolutions of one pixel.
        linear = re.search(r'attn_1\.(q|k|v|proj_out)\.weight', name)
        own[name] = value.reshape(*value.shape[:2], 1, 1) if linear else value
    own = {key: v for key, v in own.items() if key.split('.')[0] in _PARTS}
    _check(own if levels else {}, weights)
    return own | dict(scale_factor=torch.tensor(_scale({}, scale_factor)))


def _scale(weights: Mapping[str, Tensor], given: float | None) -> float:
    return float(weights.get('scale_factor', 1.0)) if given is None else float(given)


def _check(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    missing = [part for part in _PARTS if not any(k.startswith(part) for k in own)]
    if missing:
        raise ValueError(
            f'No KL autoencoder in these weights: {", ".join(missing)} missing. Found '
            f'are {len(weights)} weights, for instance {", ".join(list(weights)[:3])}. '
            'Give the state dict of a kl-f4 or of an AutoencoderKL.'
        )
