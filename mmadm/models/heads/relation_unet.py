"""The authors' conditional head, with relation layers."""

from collections.abc import Sequence
from itertools import repeat

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmadm.registry import MODELS

from .layers import (
    Decouple,
    FourierEmbedding,
    SpatialAttention,
    check_channels,
    check_features,
    decoder_widths,
    single_width,
)
from .relation_layers import (
    GROUPS,
    FullAttention,
    LinearAttention,
    RelationLayer,
    StandardizedBlock,
)


class Downsample(nn.Conv2d):
    """A convolution of stride 2; an odd size is padded by repeating its last line."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H / 2, W / 2)."""
        height, width = x.shape[-2:]
        if height % 2 or width % 2:
            x = F.pad(x, (0, width % 2, 0, height % 2), mode='replicate')
        return super().forward(x)


class DownLevel(nn.Module):
    """One level of the shared encoder."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        windows: tuple[int, int],
        embed_channels: int,
        dropout: float,
        last: bool,
    ) -> None:
        super().__init__()
        block = (in_channels, in_channels, embed_channels)
        self.block0 = StandardizedBlock(*block)
        self.relation = RelationLayer(
            in_channels, in_channels, in_channels, windows, dropout=dropout
        )
        self.block1 = StandardizedBlock(*block)
        self.attention = LinearAttention(in_channels)
        self.resample = (
            nn.Conv2d(in_channels, out_channels, 3, padding=1)
            if last
            else Downsample(in_channels, out_channels)
        )

    def forward(
        self, x: Tensor, embedding: Tensor, condition: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Input of the next level, and the two skip connections of this one."""
        first = self.block0(x, embedding)
        x = self.relation(first, condition)
        second = self.attention(self.block1(x, embedding))
        return self.resample(second), (first, second)


class UpLevel(nn.Module):
    """One level of a decoder."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        windows: tuple[int, int],
        embed_channels: int,
        dropout: float,
        last: bool,
    ) -> None:
        super().__init__()
        block = (in_channels + out_channels, in_channels, embed_channels)
        self.block0 = StandardizedBlock(*block)
        self.relation = RelationLayer(
            out_channels, in_channels, in_channels, windows, dropout=dropout
        )
        self.block1 = StandardizedBlock(*block)
        self.attention = LinearAttention(in_channels)
        self.upsample = nn.Identity() if last else nn.Upsample(scale_factor=2)
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)

    def forward(
        self,
        x: Tensor,
        embedding: Tensor,
        condition: Tensor,
        skips: tuple[Tensor, Tensor],
    ) -> Tensor:
        """A map of twice the size of the skip connections, except in the last level."""
        first, second = skips
        # One line less where the encoder rounded an odd size up.
        x = x[..., : first.shape[-2], : first.shape[-1]]
        x = self.block0(torch.cat([x, second], dim=1), embedding)
        x = self.relation(x, condition)
        x = self.block1(torch.cat([x, first], dim=1), embedding)
        return self.conv(self.upsample(self.attention(x)))


class Middle(nn.Module):
    """The level of lowest resolution: attention between two blocks."""

    def __init__(self, channels: int, embed_channels: int) -> None:
        super().__init__()
        self.block0 = StandardizedBlock(channels, channels, embed_channels)
        self.attention = FullAttention(channels)
        self.block1 = StandardizedBlock(channels, channels, embed_channels)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        return self.block1(self.attention(self.block0(x, embedding)), embedding)


class RelationDecoder(nn.Module):
    """A decoder with its own decoupling and its own relation layers."""

    def __init__(
        self,
        out_channels: int,
        widths: Sequence[int],
        windows: Sequence[tuple[int, int]],
        embed_channels: int,
        gate: dict,
        dropout: float,
    ) -> None:
        super().__init__()
        deepest, d = widths[-1], widths[0]
        gate = MODELS.build(dict(gate, channels=deepest))
        self.decouple = Decouple(deepest, gate, _group_norm(deepest))
        self.levels = nn.ModuleList(
            UpLevel(
                widths[i + 1], widths[i], windows[i], embed_channels, dropout, i == 0
            )
            for i in reversed(range(len(windows)))
        )
        self.block = StandardizedBlock(2 * d, d, embed_channels)
        self.out = nn.Conv2d(d, out_channels, 1)

    def forward(
        self,
        x: Tensor,
        embedding: Tensor,
        conditions: Sequence[Tensor],
        skips: Sequence[tuple[Tensor, Tensor]],
        stem: Tensor,
    ) -> Tensor:
        """The encoder's outputs, shallow to deep, to one raw output of the head."""
        x = self.decouple(x)
        for level, condition, pair in zip(self.levels, conditions[::-1], skips[::-1]):
            x = level(x, embedding, condition, pair)
        return self.out(self.block(torch.cat([x, stem], dim=1), embedding))


@MODELS.register_module()
class RelationUNet(BaseModule):
    """The authors' conditional U-Net: ``phi, eps = Net_theta(x_t, t, condition)``.

    Each level of encoder and decoders has a relation layer between the condition and
    the noisy features. It takes images of any size, and condition features of any
    resolution.

    Args:
        in_channels: channels of ``x_t``.
        out_channels: channels of each decoder's output: (P*C, C) for phi and eps. One
            number makes one decoder.
        base_channels: "feature channels" of Table I, a multiple of 8.
        channel_mult: width after each level in ``base_channels`` (Table I).
        condition_channels: width of the condition's features, one per level.
        condition_windows: side of the condition's windows, one per level.
        feature_windows: side of the noisy features' windows, one per level. For
            super-resolution, where the condition is smaller than the image, the authors
            use (4, 2, 1, 1).
        gate: config of the module that decouples, without its width:
            :class:`SpatialAttention` or, as in DiffusionEdge, :class:`FourierFilter`.
        dropout: dropout in the MLPs of the relation layers.
        init_cfg: initialisation, for instance from a checkpoint.
    """

    #: Whether ``forward`` takes ``needed``.
    can_skip_decoders = True

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: Sequence[int] = (3, 3),
        base_channels: int = 128,
        channel_mult: Sequence[int] = (1, 2, 4, 4),
        condition_channels: Sequence[int] = (128, 256, 512, 1024),
        condition_windows: Sequence[int] = (8, 4, 2, 1),
        feature_windows: Sequence[int] = (8, 4, 2, 1),
        gate: dict = dict(type=SpatialAttention),
        dropout: float = 0.1,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        d = base_channels
        if d < GROUPS or d % GROUPS:
            raise ValueError(
                f'The base width of RelationUNet must be a positive multiple of '
                f'{GROUPS}, but base_channels={d}. The paper uses 96 and 128, tests 16.'
            )
        _check_levels(
            channel_mult,
            condition_channels=condition_channels,
            condition_windows=condition_windows,
            feature_windows=feature_windows,
        )
        self.in_channels = in_channels
        self.condition_channels = tuple(condition_channels)
        windows = list(zip(condition_windows, feature_windows))
        widths = [d, *(d * mult for mult in channel_mult)]
        embed = 4 * d

        self.embedding = nn.Sequential(
            FourierEmbedding(d), nn.Linear(d, embed), nn.GELU(), nn.Linear(embed, embed)
        )
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels + condition_channels[0], d, 7, padding=3),
            _group_norm(d),
        )
        self.projections = nn.ModuleList(
            nn.Conv2d(channels, width, 1)
            for channels, width in zip(condition_channels, widths)
        )
        deepest = len(windows) - 1
        self.levels = nn.ModuleList(
            DownLevel(
                widths[i], widths[i + 1], windows[i], embed, dropout, i == deepest
            )
            for i in range(len(windows))
        )
        self.middle = Middle(widths[-1], embed)
        self.decoders = nn.ModuleList(
            RelationDecoder(channels, widths, windows, embed, gate, dropout)
            for channels in decoder_widths(out_channels)
        )

    def forward(
        self,
        x: Tensor,
        c_noise: Tensor,
        features: Sequence[Tensor] | None,
        needed: Sequence[bool] | None = None,
    ) -> tuple[Tensor | None, ...]:
        """Raw outputs, one per decoder.

        Args:
            x: scaled noisy image (N, C, H, W).
            c_noise: conditioning number of the time, (N,) or (1,).
            features: the condition's feature maps, one per level.
            needed: whether each output is needed; the others are None. None: all.

        Raises:
            ValueError: image or features have other channels than the head.
        """
        check_channels(x, self.in_channels)
        check_features(features, self.condition_channels)
        embedding = self.embedding(c_noise)
        shallow = F.interpolate(features[0], x.shape[-2:], mode='bilinear')
        x = stem = self.stem(torch.cat([x, shallow], dim=1))
        conditions = [conv(f) for conv, f in zip(self.projections, features)]

        skips = []
        for level, condition in zip(self.levels, conditions):
            x, pair = level(x, embedding, condition)
            skips.append(pair)
        x = self.middle(x, embedding)
        return tuple(
            decoder(x, embedding, conditions, skips, stem) if is_needed else None
            for decoder, is_needed in zip(self.decoders, needed or repeat(True))
        )


@MODELS.register_module()
class SingleDecoderRelationUNet(RelationUNet):
    """Relation U-Net with one decoder; the other output follows from ``x_t``.

    Args:
        out_channels: channels of the one output.
        kwargs: as in :class:`RelationUNet`.
    """

    def __init__(self, out_channels: int = 3, **kwargs) -> None:
        super().__init__(out_channels=single_width(out_channels), **kwargs)


def _group_norm(channels: int) -> nn.GroupNorm:
    """The authors' groups: at least four channels each, unlike in the blocks."""
    return nn.GroupNorm(min(channels // 4, GROUPS), channels)


def _check_levels(channel_mult: Sequence[int], **per_level: Sequence[int]) -> None:
    for name, values in per_level.items():
        if len(values) != len(channel_mult) or not all(v > 0 for v in values):
            raise ValueError(
                f'The head has {len(channel_mult)} levels, but {name}={tuple(values)}. '
                'Give one positive number per level.'
            )
