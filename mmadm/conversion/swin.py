"""From torchvision's names of Swin's weights to MMPretrain's."""

import re
from collections.abc import Mapping

from torch import Tensor

# What a torchvision block calls its parts -> what MMPretrain's does.
_BLOCK = {
    'norm1': 'norm1',
    'norm2': 'norm2',
    'attn.relative_position_bias_table': 'attn.w_msa.relative_position_bias_table',
    'attn.relative_position_index': 'attn.w_msa.relative_position_index',
    'attn.qkv': 'attn.w_msa.qkv',
    'attn.proj': 'attn.w_msa.proj',
    'mlp.0': 'ffn.layers.0.0',
    'mlp.3': 'ffn.layers.1',
}
_STEM = {'features.0.0': 'patch_embed.projection', 'features.0.2': 'patch_embed.norm'}


def swin_keys(weights: Mapping[str, Tensor], prefix: str = '') -> dict[str, Tensor]:
    """Weights of MMPretrain's ``SwinTransformer`` from torchvision's, or the authors'.

    The authors' condition network is torchvision's, cut in two: their ``first_coonv.j``
    is its ``features.0.j`` and their ``features.i`` its ``features.{i + 1}``. The last
    norm and the classifier, which give no feature map, are left out.

    Args:
        weights: the state dict; keys that do not start with ``prefix`` are passed over.
        prefix: ``'init_conv_mask.'`` in the authors' checkpoints.

    Raises:
        ValueError: a key is none of torchvision's Swin.
    """
    weights = {
        key.removeprefix(prefix): tensor
        for key, tensor in weights.items()
        if key.startswith(prefix)
    }
    if any(key.startswith('first_coonv.') for key in weights):
        weights = {_uncut(key): tensor for key, tensor in weights.items()}
    return {
        _ours(key): _reordered(key, tensor)
        for key, tensor in weights.items()
        if not key.startswith(('norm.', 'head.'))
    }


def _uncut(key: str) -> str:
    """The authors' key as torchvision's."""
    if key.startswith('first_coonv.'):
        return key.replace('first_coonv', 'features.0', 1)
    return re.sub(r'^features\.(\d+)', lambda m: f'features.{int(m[1]) + 1}', key)


def _ours(key: str) -> str:
    module, _, kind = key.rpartition('.')
    if module in _STEM:
        return f'{_STEM[module]}.{kind}'
    found = re.fullmatch(r'features\.(\d+)\.(\d+)\.(.+)', key)
    if found:
        stage, block, inside = (int(found[1]) - 1) // 2, found[2], found[3]
        part, _, kind = inside.rpartition('.')
        if inside in _BLOCK:
            return f'stages.{stage}.blocks.{block}.{_BLOCK[inside]}'
        if part in _BLOCK:
            return f'stages.{stage}.blocks.{block}.{_BLOCK[part]}.{kind}'
    found = re.fullmatch(r'features\.(\d+)\.((?:norm|reduction)\..+)', key)
    if found:
        return f'stages.{int(found[1]) // 2 - 1}.downsample.{found[2]}'
    raise ValueError(
        f"{key!r} is no weight of torchvision's Swin (version 1). Check that the file "
        'is one, without a prefix to its keys.'
    )


def _reordered(key: str, tensor: Tensor) -> Tensor:
    if key.endswith('relative_position_index'):
        side = int(len(tensor) ** 0.5)
        return tensor.view(side, side)
    if '.reduction.' in key or re.fullmatch(r'features\.\d+\.norm\..+', key):
        # Four neighbours at (row, column) 00, 10, 01, 11 with all channels each; there
        # each channel with its neighbours 00, 01, 10, 11.
        neighbours = tensor.unflatten(-1, (4, -1))[..., [0, 2, 1, 3], :]
        return neighbours.transpose(-1, -2).flatten(-2)
    return tensor
