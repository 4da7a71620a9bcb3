"""Folder, settings and weight names of diffusers' ``AutoencoderKL``."""

import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path

from mmengine.logging import print_log
from torch import Tensor

_FILES = ('diffusion_pytorch_model.safetensors', 'diffusion_pytorch_model.bin')

# Its names -> ours, applied in this order.
_NAMES = (
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
# Settings that weights do not show, and that ours cannot change. The values are also
# diffusers' defaults: a key that is missing in a file has them.
_FIXED = {
    'norm_num_groups': 32,
    'act_fn': 'silu',
    'shift_factor': None,
    'latents_mean': None,
    'latents_std': None,
    'mid_block_add_attention': True,
    'use_quant_conv': True,
    'use_post_quant_conv': True,
}
#: diffusers' default of ``scaling_factor``.
DEFAULT_SCALE = 0.18215


def weights_file(source: str | Path) -> Path:
    """The file of weights in a folder of diffusers; a file is returned as it is.

    Raises:
        FileNotFoundError: there is none in the folder.
    """
    source = Path(source)
    if not source.is_dir():
        return source
    for name in _FILES:
        if (source / name).is_file():
            return source / name
    found = ', '.join(sorted(path.name for path in source.iterdir())[:5])
    raise FileNotFoundError(
        f'No autoencoder of diffusers in the folder {source}: it has '
        f'{found or "nothing"}. Give the folder with {_FILES[0]}, in a whole pipeline '
        'the one named vae, or the file itself.'
    )


def published_scale(file: Path) -> float:
    """``scaling_factor`` of the ``config.json`` beside a file, or diffusers' default.

    Raises:
        ValueError: ``KLAutoencoder`` does not support the settings.
    """
    path = file.with_name('config.json')
    if not path.is_file():
        print_log(
            f'There is no config.json beside {file}: the scale of the latents is '
            f"diffusers' default, {DEFAULT_SCALE}. Another: --scale-factor.",
            'current',
            logging.WARNING,
        )
        return DEFAULT_SCALE
    try:
        settings = dict(json.loads(path.read_text()))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f'Settings cannot be read: {path} is no JSON with a dict ({error}). Copy '
            'it again, or give the file of weights in a folder without it.'
        ) from error
    for name, value in _FIXED.items():
        if settings.get(name, value) != value:
            raise ValueError(
                f'KLAutoencoder does not support this autoencoder: {path} has {name}='
                f'{settings[name]!r}, but ours has {value!r}. Use another one, such as '
                'that of Stable Diffusion 1 or 2.'
            )
    return settings.get('scaling_factor', DEFAULT_SCALE)


def is_diffusers(weights: Mapping[str, Tensor]) -> bool:
    """Whether a state dict has its names."""
    return any('.down_blocks.' in key for key in weights)


def diffusers_keys(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same weights with latent diffusion's names, which are also ours."""
    levels = 1 + max(
        (int(n) for key in weights for n in re.findall(r'up_blocks\.(\d+)', key)),
        default=-1,
    )
    own = {}
    for key, value in weights.items():
        name = key
        for pattern, ours in _NAMES:
            name = re.sub(pattern, ours, name)
        # Its decoder counts from the coarsest level, ours from the finest.
        name = re.sub(r'\bup\.(\d+)', lambda m: f'up.{levels - 1 - int(m[1])}', name)
        # Its attention has linear layers where ours has convolutions of one pixel.
        linear = re.search(r'attn_1\.(q|k|v|proj_out)\.weight', name)
        own[name] = value.reshape(*value.shape[:2], 1, 1) if linear else value
    return own
