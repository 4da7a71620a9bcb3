"""Building blocks of the heads: time embedding, residual block, attention, decoupling.

Sizes need not be even: :func:`downsample` rounds up, and :func:`upsample` crops to the
size of the skip connection, so that a head takes images of any size.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmadm.registry import MODELS


def downsample(x: Tensor) -> Tensor:
    """Mean of 2x2 pixels; 2x1 or 1x2 in the last row or column of an odd size."""
    return F.avg_pool2d(x, 2, ceil_mode=True)


def upsample(x: Tensor, size: torch.Size) -> Tensor:
    """Each pixel twice in both directions, cropped to ``size`` (H, W)."""
    x = F.interpolate(x, scale_factor=2, mode='nearest')
    return x[..., : size[0], : size[1]]


def group_norm(channels: int, eps: float = 1e-5) -> nn.GroupNorm:
    """Group normalisation: up to 32 equal groups of at least four channels."""
    most = min(32, max(1, channels // 4))
    groups = next(n for n in range(most, 0, -1) if channels % n == 0)
    return nn.GroupNorm(groups, channels, eps)


def silu(x: Tensor) -> Tensor:
    """SiLU, in place where no gradient is needed; ``x`` must have no other user."""
    return F.silu(x, inplace=not torch.is_grad_enabled())


def zero_init(module: nn.Module) -> nn.Module:
    """Initialise a layer with zeros, so that its output is zero."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


class SinusoidalEmbedding(nn.Module):
    """``[cos, sin](w c_noise)`` of the frequencies ``w = 10000^(-2k / channels)``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        frequencies = 10000 ** (-torch.arange(channels // 2) / (channels // 2))
        self.register_buffer('frequencies', frequencies, persistent=False)

    def forward(self, c_noise: Tensor) -> Tensor:
        """(N,) to (N, channels)."""
        angle = c_noise[:, None] * self.frequencies
        return torch.cat([angle.cos(), angle.sin()], dim=1)


class FourierEmbedding(nn.Module):
    """``[sin, cos](2 pi W c_noise)`` of fixed random frequencies W."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        frequencies = 16 * torch.randn(channels // 2)
        self.frequencies = nn.Parameter(frequencies, requires_grad=False)

    def forward(self, c_noise: Tensor) -> Tensor:
        """(N,) to (N, channels)."""
        angle = 2 * math.pi * c_noise[:, None] * self.frequencies
        return torch.cat([angle.sin(), angle.cos()], dim=1)


class TimeEmbedding(nn.Module):
    """Embedding of ``c_noise`` and, optionally, of augmentation labels.

    Args:
        channels: base width of the head; the embedding is four times as wide.
        augment_dim: number of labels of a non-leaking augmentation, 0 for none.
        code: :class:`SinusoidalEmbedding` or :class:`FourierEmbedding`.
        code_width: width of ``code`` in multiples of ``channels``.
    """

    def __init__(
        self,
        channels: int,
        augment_dim: int = 0,
        code: type[nn.Module] = SinusoidalEmbedding,
        code_width: int = 1,
    ) -> None:
        super().__init__()
        width = code_width * channels
        self.code = code(width)
        self.augment = (
            zero_init(nn.Linear(augment_dim, width, bias=False))
            if augment_dim
            else None
        )
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * channels),
            nn.SiLU(),
            nn.Linear(4 * channels, 4 * channels),
            nn.SiLU(),
        )

    def forward(self, c_noise: Tensor, augment_labels: Tensor | None = None) -> Tensor:
        """(N,) and optionally (N, augment_dim) to (N, 4 * channels)."""
        code = self.code(c_noise)
        if augment_labels is not None:
            self._check_labels(augment_labels.shape[1])
            code = code + self.augment(augment_labels)
        return self.mlp(code)

    def _check_labels(self, found: int) -> None:
        expected = self.augment.in_features if self.augment else 0
        if found != expected:
            raise ValueError(
                f'The head takes {expected} augmentation labels per image, but got '
                f'{found}. Set augment_dim={found} of the head, or remove the '
                'augmentation of the data preprocessor.'
            )


class SelfAttention(nn.Module):
    """Multi-head self-attention over all positions, with a residual connection.

    Args:
        channels: width.
        head_channels: least width of an attention head.
    """

    def __init__(self, channels: int, head_channels: int = 64) -> None:
        super().__init__()
        self.num_heads = count_heads(channels, head_channels)
        self.norm = group_norm(channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.proj = zero_init(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        q, k, v = self.qkv(self.norm(x)).chunk(3, dim=1)
        return x + self.proj(attend(q, k, v, self.num_heads))


def count_heads(channels: int, head_channels: int) -> int:
    """Number of attention heads of ``head_channels`` or more each; at least one."""
    heads = max(1, channels // head_channels)
    if channels % heads:
        raise ValueError(
            f'Attention over {channels} channels cannot be split into {heads} heads of '
            f'{head_channels}. Choose a width that is a multiple of {head_channels}, '
            'or another head_channels.'
        )
    return heads


def attend(q: Tensor, k: Tensor, v: Tensor, num_heads: int) -> Tensor:
    """Softmax attention from the positions of ``q`` to those of ``k`` and ``v``.

    Args:
        q: queries (N, C, H, W).
        k: keys (N, C, H', W').
        v: values, shaped like k.
        num_heads: attention heads, each with C / num_heads channels.

    Returns:
        (N, C, H, W).
    """
    n, c, h, w = q.shape
    tokens = (x.reshape(n, num_heads, c // num_heads, -1).mT for x in (q, k, v))
    # Adjacent channels: other strides make attention build a table of all pairs of
    # positions.
    tokens = (x if x.stride(-1) == 1 else x.contiguous() for x in tokens)
    out = F.scaled_dot_product_attention(*tokens)
    return out.transpose(2, 3).reshape(n, c, h, w)


class ResBlock(nn.Module):
    """Two normalised convolutions, modulated by the time, with a shortcut.

    Args:
        in_channels: input width.
        out_channels: output width.
        embed_channels: width of the time embedding.
        attention: append self-attention.
        dropout: fraction of activations dropped before the second convolution.
        resample: halve ('down') or double ('up') the resolution before the first
            convolution, None to keep it.
    """

    #: Width -> normalisation.
    norm: Callable[[int], nn.Module] = staticmethod(group_norm)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        embed_channels: int,
        attention: bool = False,
        dropout: float = 0.0,
        resample: Literal['down', 'up'] | None = None,
    ) -> None:
        super().__init__()
        self.resample = resample
        self.norm0 = self.norm(in_channels)
        self.conv0 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.affine = nn.Linear(embed_channels, 2 * out_channels)
        self.norm1 = self.norm(out_channels)
        self.dropout = nn.Dropout(dropout)
        self.conv1 = zero_init(nn.Conv2d(out_channels, out_channels, 3, padding=1))
        self.shortcut = (
            nn.Identity()
            if in_channels == out_channels
            else nn.Conv2d(in_channels, out_channels, 1)
        )
        self.attention = SelfAttention(out_channels) if attention else nn.Identity()

    def forward(
        self, x: Tensor, embedding: Tensor, size: torch.Size | None = None
    ) -> Tensor:
        """(N, C, H, W) to (N, C', H', W'); ``size`` is H', W' of an 'up' block."""
        h = silu(self.norm0(x))
        if self.resample == 'down':
            x, h = downsample(x), downsample(h)
        elif self.resample == 'up':
            x, h = upsample(x, size), upsample(h, size)

        scale, shift = self.affine(embedding)[..., None, None].chunk(2, dim=1)
        h = torch.addcmul(shift, self.norm1(self.conv0(h)), 1 + scale)
        h = self.conv1(self.dropout(silu(h)))
        return self.attention(self.shortcut(x) + h)


@MODELS.register_module()
class SpatialAttention(nn.Module):
    """A gate per position from self-attention over one channel (Sec. IV).

    The input is projected to one channel, in which the positions attend to each other;
    ``softsign`` of the result multiplies the input.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.map = nn.Conv2d(channels, 1, 1)
        self.query = nn.Conv2d(1, 1, 1)
        self.key = nn.Conv2d(1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        a = self.map(x)
        # (N, 1 head, positions, 1 channel), contiguous: the strides that ``mT`` gives
        # make attention build a table of all pairs of positions.
        q, k, v = (y.flatten(2)[..., None] for y in (self.query(a), self.key(a), a))
        gathered = F.scaled_dot_product_attention(q, k, v, scale=1.0)
        return F.softsign(gathered.reshape(a.shape)) * x


class Decouple(nn.Module):
    """Decoupling of the shared features for one decoder: ``x + gate(conv(x))``.

    Args:
        channels: width.
        gate: module of this width that selects features; spatial attention if missing.
        norm: normalisation before the convolution.
    """

    def __init__(
        self,
        channels: int,
        gate: nn.Module | None = None,
        norm: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.norm = norm or nn.Identity()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.gate = gate or SpatialAttention(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        return x + self.gate(self.conv(self.norm(x)))


def output_conv(in_channels: int, out_channels: int) -> nn.Conv2d:
    """The last convolution, initialised with gain 1: the output is not zero."""
    conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)
    nn.init.kaiming_uniform_(conv.weight, nonlinearity='linear')
    nn.init.zeros_(conv.bias)
    return conv


def head_width(base_channels: int) -> int:
    """``base_channels``, checked: a sinusoidal embedding of this width exists."""
    if base_channels < 4 or base_channels % 4:
        raise ValueError(
            'The base width of a head must be a positive multiple of 4, but '
            f'base_channels={base_channels}. The paper uses 96 to 160, tests use 8.'
        )
    return base_channels


def decoder_widths(out_channels: Sequence[int]) -> tuple[int, ...]:
    """``out_channels`` of a head with several decoders, checked."""
    if isinstance(out_channels, int) or not all(width > 0 for width in out_channels):
        raise ValueError(
            'A head with several decoders has a positive number of channels for each '
            f'of them, but out_channels={out_channels}. Give (P*C, C) for phi and eps, '
            'or use the head with a single decoder.'
        )
    return tuple(out_channels)


def single_width(out_channels: int) -> tuple[int]:
    """``out_channels`` of a head with one decoder, as a tuple."""
    if not isinstance(out_channels, int):
        raise ValueError(
            'A head with a single decoder has one number of channels, but '
            f'out_channels={tuple(out_channels)}. Give the channels of its output.'
        )
    return (out_channels,)


def check_channels(x: Tensor, in_channels: int) -> None:
    """Refuse a noisy image of other channels than the head was built for."""
    if x.shape[1] != in_channels:
        raise ValueError(
            f'The head takes {in_channels} channels, but the noisy image has '
            f'{x.shape[1]}. Set in_channels of the head to the channels of the image, '
            'or of the latents of the first stage.'
        )


def check_features(features: Sequence[Tensor] | None, widths: tuple[int, ...]) -> None:
    """Refuse condition features of other widths than the head was built for."""
    found = tuple(feature.shape[1] for feature in features or ())
    if found != widths:
        raise ValueError(
            f'The head expects condition features of widths {widths}, but got {found}. '
            'Set condition_channels of the head to out_channels of the condition '
            'encoder.'
        )
