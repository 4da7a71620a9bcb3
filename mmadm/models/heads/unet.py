"""The heads of ADM: U-Nets with one encoder and two decoders (Fig. 4), or one."""

from collections.abc import Sequence
from itertools import repeat

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmadm.registry import MODELS

from .fusion import ConcatFusion
from .layers import (
    Decouple,
    ResBlock,
    TimeEmbedding,
    check_channels,
    check_features,
    decoder_widths,
    group_norm,
    head_width,
    output_conv,
    single_width,
)


class Encoder(nn.Module):
    """The shared encoder; condition features enter at the start of each level."""

    block: type[nn.Module] = ResBlock

    def __init__(
        self,
        in_channels: int,
        widths: Sequence[int],
        num_blocks: int,
        attention_levels: Sequence[int],
        embed_channels: int,
        dropout: float,
        fusions: Sequence[nn.Module],
    ) -> None:
        super().__init__()
        self.fusions = nn.ModuleList(fusions)
        self.levels = nn.ModuleList()
        self.skip_channels: list[int] = []
        channels = widths[0]
        for i, width in enumerate(widths):
            entry = (
                nn.Conv2d(in_channels, channels, 3, padding=1)
                if i == 0
                else self.block(
                    channels, channels, embed_channels, False, dropout, 'down'
                )
            )
            level = nn.ModuleList([entry])
            self.skip_channels.append(channels)
            for _ in range(num_blocks):
                attention = i in attention_levels
                level.append(
                    self.block(channels, width, embed_channels, attention, dropout)
                )
                channels = width
                self.skip_channels.append(channels)
            self.levels.append(level)

    def forward(
        self, x: Tensor, embedding: Tensor, features: Sequence[Tensor]
    ) -> list[Tensor]:
        """All outputs, shallow to deep; the last one is the deepest."""
        skips: list[Tensor] = []
        for i, (entry, *blocks) in enumerate(self.levels):
            x = entry(x) if i == 0 else entry(x, embedding)
            if features:
                x = self.fusions[i](x, features[i])
            skips.append(x)
            for block in blocks:
                x = block(x, embedding)
                skips.append(x)
        return skips


class Decoder(nn.Module):
    """A decoder with its own decoupling of the encoder's features."""

    block: type[nn.Module] = ResBlock
    #: Whether each of the two deepest blocks has attention.
    bottom_attention = (True, False)
    #: Whether each block of an attention level has attention, or only the last one.
    attend_each = True

    def __init__(
        self,
        out_channels: int,
        widths: Sequence[int],
        num_blocks: int,
        attention_levels: Sequence[int],
        embed_channels: int,
        dropout: float,
        skip_channels: Sequence[int],
    ) -> None:
        super().__init__()
        skip_channels = list(skip_channels)
        channels = widths[-1]
        self.decouple = self.decoupling(channels)
        self.bottom = nn.ModuleList(
            self.block(channels, channels, embed_channels, attention, dropout)
            for attention in self.bottom_attention
        )
        self.ups = nn.ModuleList()
        self.levels = nn.ModuleList()
        for i in reversed(range(len(widths))):
            if i < len(widths) - 1:
                self.ups.append(
                    self.block(channels, channels, embed_channels, False, dropout, 'up')
                )
            level = nn.ModuleList()
            for j in range(num_blocks + 1):
                attention = i in attention_levels
                attention &= self.attend_each or j == num_blocks
                level.append(
                    self.block(
                        channels + skip_channels.pop(),
                        widths[i],
                        embed_channels,
                        attention,
                        dropout,
                    )
                )
                channels = widths[i]
            self.levels.append(level)
        self.norm = self.output_norm(channels)
        self.act = nn.SiLU()
        self.out = output_conv(channels, out_channels)

    def decoupling(self, channels: int) -> nn.Module:
        """The module that adapts the encoder's deepest output to this decoder."""
        return Decouple(channels)

    def output_norm(self, channels: int) -> nn.Module:
        """Normalisation before the output layer."""
        return group_norm(channels)

    def trunk(self, x: Tensor, skips: Sequence[Tensor], embedding: Tensor) -> Tensor:
        """The feature map before the output layer, (N, widths[0], H, W)."""
        skips = list(skips)
        x = self.decouple(x)
        for block in self.bottom:
            x = block(x, embedding)
        for i, level in enumerate(self.levels):
            if i > 0:
                x = self.ups[i - 1](x, embedding, skips[-1].shape[-2:])
            for block in level:
                x = block(torch.cat([x, skips.pop()], dim=1), embedding)
        return self.act(self.norm(x))

    def forward(self, x: Tensor, skips: Sequence[Tensor], embedding: Tensor) -> Tensor:
        """The deepest output of the encoder, and all of them, to one raw output."""
        return self.out(self.trunk(x, skips, embedding))


@MODELS.register_module()
class DualDecoderUNet(BaseModule):
    """U-Net with one encoder and two decoders: ``phi, eps = Net_theta(x_t, t)``.

    Takes images of any size. Conditional when ``condition_channels`` is given.

    Args:
        in_channels: channels of ``x_t``.
        out_channels: channels of each decoder's output: (P*C, C) for phi and eps. One
            number makes one decoder.
        base_channels: "feature channels" of Table I.
        channel_mult: width of each level in ``base_channels`` (Table I).
        num_blocks: residual blocks per level (Table I).
        attention_levels: levels with self-attention, 0 the shallowest.
        condition_channels: width of the condition's features, one per level.
        fusion: config of the fusion module, without its widths.
        dropout: dropout in the residual blocks.
        augment_dim: length of the augmentation labels, 0 for none.
        skip_scale: factor of the deepest skip connection ("skip tuning"); the factor of
            the shallowest is 1, and it decreases linearly in between.
        init_cfg: initialisation, for instance from a checkpoint.
    """

    #: Whether ``forward`` takes ``needed``.
    can_skip_decoders = True
    encoder_type: type[Encoder] = Encoder
    decoder_type: type[Decoder] = Decoder
    embedding_settings: dict = {}

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: Sequence[int] = (3, 3),
        base_channels: int = 128,
        channel_mult: Sequence[int] = (1, 2, 2, 2),
        num_blocks: int = 3,
        attention_levels: Sequence[int] = (1, 2),
        condition_channels: Sequence[int] | None = None,
        fusion: dict = dict(type=ConcatFusion),
        dropout: float = 0.0,
        augment_dim: int = 0,
        skip_scale: float = 1.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.skip_scale = skip_scale
        self.in_channels = in_channels
        self.condition_channels = tuple(condition_channels or ())
        widths = [head_width(base_channels) * mult for mult in channel_mult]
        if not widths or min(*widths, num_blocks) < 1:
            raise ValueError(
                'The head needs at least one level with a width and a block, but '
                f'channel_mult={tuple(channel_mult)}, num_blocks={num_blocks}. Give '
                'positive numbers.'
            )
        self._check_levels(len(widths), attention_levels)

        embed = 4 * base_channels
        shared = (widths, num_blocks, attention_levels, embed, dropout)
        self.embedding = TimeEmbedding(
            base_channels, augment_dim, **self.embedding_settings
        )
        entries = [widths[0], *widths[:-1]]
        fusions = [
            MODELS.build(dict(fusion, channels=width, condition_channels=channels))
            for width, channels in zip(entries, self.condition_channels)
        ]
        self.encoder = self.encoder_type(in_channels, *shared, fusions)
        self.decoders = nn.ModuleList(
            self.decoder_type(channels, *shared, self.encoder.skip_channels)
            for channels in decoder_widths(out_channels)
        )

    def _check_levels(self, levels: int, attention_levels: Sequence[int]) -> None:
        conditions = len(self.condition_channels)
        if conditions not in (0, levels):
            raise ValueError(
                f'The head has {levels} levels, but condition_channels has '
                f'{conditions} entries: {self.condition_channels}. Give the width of '
                'one feature map per level.'
            )
        if not all(0 <= level < levels for level in attention_levels):
            raise ValueError(
                f'The head has levels 0 to {levels - 1}, but attention_levels='
                f'{tuple(attention_levels)}. Use levels that exist.'
            )

    def forward(
        self,
        x: Tensor,
        c_noise: Tensor,
        features: Sequence[Tensor] | None = None,
        augment_labels: Tensor | None = None,
        needed: Sequence[bool] | None = None,
    ) -> tuple[Tensor | None, ...]:
        """Raw outputs, one per decoder.

        Args:
            x: scaled noisy image (N, C, H, W).
            c_noise: conditioning number of the time, (N,) or (1,).
            features: the condition's feature maps, one per level.
            augment_labels: (N, augment_dim).
            needed: whether each output is needed; the others are None. None: all.
        """
        check_channels(x, self.in_channels)
        check_features(features, self.condition_channels)
        embedding = self.embedding(c_noise, augment_labels)
        skips = self.encoder(x, embedding, features or ())
        return self.decode(skips, embedding, needed)

    def decode(
        self,
        skips: Sequence[Tensor],
        embedding: Tensor,
        needed: Sequence[bool] | None = None,
    ) -> tuple[Tensor | None, ...]:
        """Encoder outputs to raw outputs."""
        tuned = self.tune(skips)
        return tuple(
            decoder(skips[-1], tuned, embedding) if is_needed else None
            for decoder, is_needed in zip(self.decoders, needed or repeat(True))
        )

    def tune(self, skips: Sequence[Tensor]) -> Sequence[Tensor]:
        """The skip connections, scaled by ``skip_scale``."""
        if self.skip_scale == 1:
            return skips
        drop = (1 - self.skip_scale) / (len(skips) - 1)
        return [(1 - drop * i) * skip for i, skip in enumerate(skips)]


@MODELS.register_module()
class SingleDecoderUNet(DualDecoderUNet):
    """U-Net with one decoder; the other output follows from ``x_t`` (Table V, VI).

    Used with a preconditioner that solves for the missing one. Table I's CIFAR-10
    setting has the paper's 90M parameters in this form.

    Args:
        out_channels: channels of the one output.
        kwargs: as in :class:`DualDecoderUNet`.
    """

    def __init__(self, out_channels: int = 3, **kwargs) -> None:
        super().__init__(out_channels=single_width(out_channels), **kwargs)


@MODELS.register_module()
class ConvBranchUNet(DualDecoderUNet):
    """U-Net with one decoder and two convolutions for eps (Table V, "U-Net+conv").

    The paper writes "stride 2" for these convolutions, which would give a smaller
    output than the input; they have stride 1 here.

    Args:
        out_channels: channels of phi and eps.
        base_channels: "feature channels" of Table I.
        kwargs: as in :class:`DualDecoderUNet`.
    """

    def __init__(
        self,
        out_channels: Sequence[int] = (3, 3),
        base_channels: int = 128,
        **kwargs,
    ) -> None:
        first, second = out_channels
        super().__init__(out_channels=(first,), base_channels=base_channels, **kwargs)
        width = self.decoders[0].out.in_channels
        self.branch = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.SiLU(),
            output_conv(width, second),
        )

    def decode(
        self,
        skips: Sequence[Tensor],
        embedding: Tensor,
        needed: Sequence[bool] | None = None,
    ) -> tuple[Tensor | None, ...]:
        """Both outputs from the one decoder's feature map."""
        (decoder,) = self.decoders
        trunk = decoder.trunk(skips[-1], self.tune(skips), embedding)
        layers = zip((decoder.out, self.branch), needed or repeat(True))
        return tuple(layer(trunk) if is_needed else None for layer, is_needed in layers)
