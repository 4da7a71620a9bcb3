"""Swin Transformer as condition encoder: the paper's choice."""

import re
from collections.abc import Mapping
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from mmadm.registry import MODELS

from .backbone import PretrainedEncoder, build_backbone, only_luma, quiet

#: Stochastic depth with which torchvision trains each size.
_DROP_PATH = {'tiny': 0.2, 'small': 0.3, 'base': 0.5}

#: Layers of a block: torchvision's names -> MMPretrain's.
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


@MODELS.register_module()
class SwinEncoder(PretrainedEncoder):
    """Swin Transformer: four feature maps at strides 4 to 32, any size of condition.

    Liu et al., *Swin Transformer: Hierarchical vision transformer using shifted
    windows*; MMPretrain's, without the norms after its outputs. As in the authors'
    condition network, the maps are those before patch merging. 'base' has 86,741,176
    parameters: torchvision's 87,768,224 without its last norm and its classifier.

    A map that fits into one window is not shifted, as in the published networks, which
    were trained at 224 pixels. This does not depend on the sizes of earlier inputs.

    Args:
        arch: 'tiny' and 'small' have widths (96, 192, 384, 768), 'base' (128, 256, 512,
            1024).
        weights: a file of torchvision's (``swin_b-68c6b09e.pth``) or of MMPretrain's,
            or a name of MMPretrain's, such as ``'swin-base_16xb64_in1k'``.
        in_channels: channels of the condition. With weights and one channel, the first
            convolution is averaged over RGB.
        drop_path_rate: stochastic depth in training; torchvision's for this ``arch``
            if None.
        frozen: do not train the weights, and disable stochastic depth.
    """

    def __init__(
        self,
        arch: Literal['tiny', 'small', 'base'] = 'base',
        weights: str | None = None,
        in_channels: int = 3,
        drop_path_rate: float | None = None,
        frozen: bool = False,
    ) -> None:
        if arch not in _DROP_PATH:
            raise ValueError(
                f'Unknown arch={arch!r} of SwinEncoder. Use one of {list(_DROP_PATH)}.'
            )
        with quiet():
            from mmpretrain.models import SwinTransformer

        if drop_path_rate is None:
            drop_path_rate = _DROP_PATH[arch]
        backbone = build_backbone(
            SwinTransformer,
            arch,
            in_channels=in_channels,
            drop_path_rate=drop_path_rate,
            out_indices=(0, 1, 2, 3),
            norm_cfg=None,
        )
        for stage in backbone.stages:
            for block in stage.blocks:
                block.attn = ShiftedWindowAttention(block.attn)
        super().__init__(backbone, in_channels, backbone.num_features, weights, frozen)

    def adapt(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """The weights of torchvision or MMPretrain with the names of the backbone."""
        if any(key.startswith('features.') for key in weights):
            weights = swin_keys(weights)
        # Norms after outputs, the classifier, and masks that old files contain.
        weights = {
            key: tensor
            for key, tensor in weights.items()
            if not key.startswith(('norm', 'head.')) and 'attn_mask' not in key
        }
        first = 'patch_embed.projection.weight'
        if self.in_channels == 1 and first in weights:
            weights = only_luma(weights, first)
        return weights


class ShiftedWindowAttention(nn.Module):
    """Attention in windows, shifted only in directions with more than one window.

    MMPretrain shifts small maps too, or refuses them; torchvision does not, and so the
    published weights were trained.

    Args:
        attention: MMPretrain's ``ShiftWindowMSA``, whose layers are used.
    """

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.w_msa = attention.w_msa
        self.drop = attention.drop
        self.window = attention.window_size
        self.shift = attention.shift_size

    def forward(self, query: Tensor, hw_shape: tuple[int, int]) -> Tensor:
        """(N, H*W, C) to the same, given (H, W)."""
        height, width = hw_shape
        x = query.unflatten(1, (height, width))
        x = F.pad(x, (0, 0, 0, -width % self.window, 0, -height % self.window))
        padded = x.shape[1:3]
        shifts = [self.shift if side > self.window else 0 for side in padded]

        x = x.roll([-shift for shift in shifts], dims=(1, 2))
        windows = self._split(x)
        outputs = self.w_msa(windows.flatten(0, 2), self._mask(x, shifts))
        x = outputs.view(windows.shape).unflatten(3, (self.window, self.window))
        x = x.transpose(2, 3).reshape(-1, *padded, x.shape[-1])
        x = x.roll(shifts, dims=(1, 2))
        return self.drop(x[:, :height, :width].flatten(1, 2))

    def _split(self, x: Tensor) -> Tensor:
        """(N, H, W, C) to windows (N, rows, columns, positions, C)."""
        x = x.unflatten(2, (-1, self.window)).unflatten(1, (-1, self.window))
        return x.transpose(2, 3).flatten(3, 4)

    def _mask(self, x: Tensor, shifts: list[int]) -> Tensor | None:
        """-100 between positions that are neighbours only because of the shift."""
        if not any(shifts):
            return None
        # Rows and columns that the roll has moved to the other side.
        moved = x.new_zeros(1, *x.shape[1:3], 1)
        for dim, shift in zip((1, 2), shifts):
            moved.narrow(dim, moved.shape[dim] - shift, shift).add_(dim)
        moved = self._split(moved).flatten(0, 2)  # (windows, positions, 1)
        return -100.0 * (moved != moved.transpose(1, 2)).to(x.dtype)


def swin_keys(weights: Mapping[str, Tensor], prefix: str = '') -> dict[str, Tensor]:
    """Weights of MMPretrain's ``SwinTransformer`` from torchvision's, or the authors'.

    The authors' condition network is torchvision's, cut in two: their ``first_coonv.j``
    is its ``features.0.j`` and their ``features.i`` its ``features.{i + 1}``. The last
    norm and the classifier, which belong to no feature map, are left out.

    Args:
        weights: the state dict; keys that do not start with ``prefix`` are ignored.
        prefix: ``'init_conv_mask.'`` in the authors' checkpoints.

    Raises:
        ValueError: a key does not belong to torchvision's Swin.
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
        f"{key!r} is not a weight of torchvision's Swin (version 1). Give a file of "
        'that network whose keys have no prefix.'
    )


def _reordered(key: str, tensor: Tensor) -> Tensor:
    if key.endswith('relative_position_index'):
        side = int(len(tensor) ** 0.5)
        return tensor.view(side, side)
    if '.reduction.' in key or re.fullmatch(r'features\.\d+\.norm\..+', key):
        # Torchvision concatenates the neighbours (row, column) 00, 10, 01, 11, each
        # with all channels; MMPretrain all channels, each with 00, 01, 10, 11.
        neighbours = tensor.unflatten(-1, (4, -1))[..., [0, 2, 1, 3], :]
        return neighbours.transpose(-1, -2).flatten(-2)
    return tensor
