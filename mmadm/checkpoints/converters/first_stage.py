"""Converts published KL autoencoders to weights of :class:`KLAutoencoder`."""

import math
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from mmadm.checkpoints.weights import check_fit
from mmadm.registry import MODELS

from .diffusers import (
    DEFAULT_SCALE,
    diffusers_keys,
    is_diffusers,
    published_scale,
    weights_file,
)
from .foreign_files import read_foreign, report_left_out, stored_weights
from .writing import check_target, write_weights

#: Modules of the autoencoder.
PARTS = ('encoder', 'decoder', 'quant_conv', 'post_quant_conv')
_PREFIX = 'first_stage_model.'


def convert_first_stage(
    source: str | Path, target: str | Path, scale_factor: float | None = None
) -> dict[str, Tensor]:
    """Write a published autoencoder as a file for ``KLAutoencoder(checkpoint=...)``.

    Args:
        source: file of latent diffusion or of the authors; file or folder of diffusers.
        target: ``.safetensors`` file.
        scale_factor: of the latents; None takes the one in the file, or in the
            ``config.json`` beside it, or the default of the project that wrote it.

    Returns:
        the converted weights.

    Raises:
        FileNotFoundError: ``source`` does not exist.
        ValueError: it is broken or holds no autoencoder that ``KLAutoencoder``
            supports, ``target`` has another suffix, or the scale is not positive.
    """
    check_target(target)
    source = weights_file(source)
    weights, _ = stored_weights(read_foreign(source), source)
    report_left_out([key for key in weights if not _is_wanted(key)])
    if is_diffusers(weights):
        if scale_factor is None:
            scale_factor = published_scale(source)
        own = diffusers_first_stage(weights, scale_factor)
    else:
        own = ldm_first_stage(weights, scale_factor)
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
        ValueError: the weights have no such autoencoder.
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
    shape = own[key].shape if key in own else ()
    if len(shape) != 4:
        raise ValueError(
            f'No KL autoencoder in these weights: {key} '
            f'{f"has shape {tuple(shape)}" if key in own else "missing"}. Give the '
            'state dict of a kl-f4 or of an AutoencoderKL.'
        )
    return shape


def _numbers(pattern: str, keys: Mapping[str, Tensor]) -> list[int]:
    """The numbers at a place of the keys, sorted."""
    found = (re.search(pattern, key) for key in keys)
    return sorted({int(match[1]) for match in found if match})


def ldm_first_stage(
    weights: Mapping[str, Tensor], scale_factor: float | None = None
) -> dict[str, Tensor]:
    """Weights of latent diffusion's ``kl-f4``, or of the authors' checkpoints.

    The names are ours; the losses, and in checkpoints of both stages the U-Net, are
    left out.

    Args:
        weights: state dict of an autoencoder (``encoder.``...), or of both stages
            (``first_stage_model.encoder.``...).
        scale_factor: of the latents; None takes the one in ``weights``. An autoencoder
            alone has 1, latent diffusion's default.

    Raises:
        ValueError: there is no first stage in it; or there are both stages, but no
            scale, which then is in a file that is not here.
    """
    both = any(key.startswith(_PREFIX) for key in weights)
    scale = scale_factor if scale_factor is not None else _stored_scale(weights, both)
    if both:
        weights = {
            key.removeprefix(_PREFIX): value
            for key, value in weights.items()
            if key.startswith(_PREFIX)
        }
    return _with_scale(_parts(weights), scale)


def diffusers_first_stage(
    weights: Mapping[str, Tensor], scale_factor: float | None = None
) -> dict[str, Tensor]:
    """Weights of diffusers' ``AutoencoderKL``.

    Args:
        weights: its state dict.
        scale_factor: ``scaling_factor`` of its ``config.json``; None takes diffusers'
            default, 0.18215.

    Raises:
        ValueError: the weights have no such autoencoder.
    """
    scale = DEFAULT_SCALE if scale_factor is None else scale_factor
    return _with_scale(_parts(diffusers_keys(weights)), scale)


def _stored_scale(weights: Mapping[str, Tensor], both: bool) -> float:
    if both and 'scale_factor' not in weights:
        raise ValueError(
            'The scale of the latents is unknown: the file has both stages, but no '
            'scale_factor. Give the one of its own config as --scale-factor (Stable '
            "Diffusion 1: 0.18215; latent diffusion's default: 1)."
        )
    return float(weights.get('scale_factor', 1.0))


def _is_wanted(key: str) -> bool:
    part = key.removeprefix(_PREFIX).split('.')[0]
    return part in (*PARTS, 'scale_factor')


def _with_scale(own: dict[str, Tensor], scale: float) -> dict[str, Tensor]:
    if not 0 < scale < math.inf:
        raise ValueError(
            f'The scale of the latents must be positive, but scale_factor={scale:g}. '
            'Give 1 / (standard deviation of the latents) as scale_factor.'
        )
    return own | dict(scale_factor=torch.tensor(float(scale)))


def _parts(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the autoencoder alone."""
    own = {key: v for key, v in weights.items() if key.split('.')[0] in PARTS}
    missing = [part for part in PARTS if not any(k.startswith(part) for k in own)]
    if missing:
        raise ValueError(
            f'No KL autoencoder in these weights: {", ".join(missing)} missing. Found '
            f'are {len(weights)} weights, for instance {", ".join(list(weights)[:3])}. '
            'Give the state dict of a kl-f4 or of an AutoencoderKL.'
        )
    return own
