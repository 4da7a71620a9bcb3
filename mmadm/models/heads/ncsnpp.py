"""The NCSN++ head (Song et al., 2021), which the authors offer too."""

from collections.abc import Sequence
from itertools import repeat
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmadm.registry import MODELS

from .layers import FourierEmbedding, SelfAttention, group_norm
from .unet import Decoder, DualDecoderUNet, Encoder

# This factor keeps the variance of a sum of two.
KEEP = 0.5**0.5
EPS = 1e-6


class SmoothResample(nn.Module):
    """Resampling by 2 with the binomial filter [1, 3, 3, 1].

    An odd size is rounded up by repeating its last line.

    Args:
        direction: 'down' or 'up'.
    """

    def __init__(self, direction: Literal['down', 'up']) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        self.up = direction == 'up'
        kernel = taps.outer(taps) * (4 if self.up else 1)
        self.register_buffer('kernel', kernel, persistent=False)

    def forward(
        self, x: Tensor, size: torch.Size | None = None, padding: int = 1
    ) -> Tensor:
        """(N, C, H, W) to (N, C, H', W'); ``size`` crops a doubled resolution."""
        channels = x.shape[1]
        kernel = self.kernel.expand(channels, 1, -1, -1)
        if self.up:
            x = F.conv_transpose2d(x, kernel, None, 2, padding, groups=channels)
            return x[..., : size[0], : size[1]]
        return F.conv2d(_even(x), kernel, None, 2, padding, groups=channels)


class ScaledAttention(SelfAttention):
    """Self-attention with one attention head, scaled to keep the variance."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, head_channels=channels)
        self.norm = group_norm(channels, EPS)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        return KEEP * super().forward(x)


class ScaledBlock(nn.Module):
    """Two normalised convolutions with a shortcut; the time is added between them.

    Args: as in :class:`ResBlock`.
    """

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
        self.resample = SmoothResample(resample) if resample else None
        self.norm0 = group_norm(in_channels, EPS)
        self.conv0 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.affine = nn.Linear(embed_channels, out_channels)
        self.norm1 = group_norm(out_channels, EPS)
        self.dropout = nn.Dropout(dropout)
        self.conv1 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.shortcut = (
            nn.Identity()
            if in_channels == out_channels and resample is None
            else nn.Conv2d(in_channels, out_channels, 1)
        )
        self.attention = ScaledAttention(out_channels) if attention else nn.Identity()
        self.apply(_init_xavier)
        _init_xavier(self.conv1, gain=1e-5)
        if attention:
            _init_xavier(self.attention.proj, gain=1e-5)

    def forward(
        self, x: Tensor, embedding: Tensor, size: torch.Size | None = None
    ) -> Tensor:
        """(N, C, H, W) to (N, C', H', W'); ``size`` is H', W' of an 'up' block."""
        h = F.silu(self.norm0(x))
        if self.resample is not None:
            x, h = self.resample(x, size), self.resample(h, size)
        h = self.conv0(h) + self.affine(embedding)[..., None, None]
        h = self.conv1(self.dropout(F.silu(self.norm1(h))))
        return self.attention(KEEP * (self.shortcut(x) + h))


class ImageResidual(nn.Module):
    """The image for the next level: a 3x3 convolution and half the resolution."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=2)
        self.down = SmoothResample('down')
        _init_xavier(self.conv)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H / 2, W / 2)."""
        return self.down(self.conv(_even(x)), padding=0)


class ScaledEncoder(Encoder):
    """Encoder of scaled blocks; the image itself enters at each level.

    In the authors' code, the second decoder sees the entry of a level before the image
    is added; so the outputs are pairs, one for each decoder.
    """

    block = ScaledBlock

    def __init__(self, in_channels: int, widths: Sequence[int], *args) -> None:
        super().__init__(in_channels, widths, *args)
        _init_xavier(self.levels[0][0])
        sources = [in_channels, *widths]
        self.residuals = nn.ModuleList(
            ImageResidual(source, width) for source, width in zip(sources, widths[:-1])
        )

    def forward(
        self, x: Tensor, embedding: Tensor, features: Sequence[Tensor]
    ) -> list[tuple[Tensor, Tensor]]:
        """All outputs, shallow to deep; the last one is the deepest."""
        skips: list[tuple[Tensor, Tensor]] = []
        image = x
        for i, (entry, *blocks) in enumerate(self.levels):
            entered = x = entry(x) if i == 0 else entry(x, embedding)
            if i > 0:
                x = image = KEEP * (x + self.residuals[i - 1](image))
            if features:
                x = self.fusions[i](x, features[i])
            skips.append((x, entered if i > 0 else x))
            for block in blocks:
                x = block(x, embedding)
                skips.append((x, x))
        return skips


class ScaledDecoder(Decoder):
    """Decoder of scaled blocks."""

    block = ScaledBlock
    attend_each = False

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.norm = group_norm(self.norm.num_channels, EPS)


@MODELS.register_module()
class NCSNppUNet(DualDecoderUNet):
    """NCSN++ with one encoder and a decoder for each output ("SongUNet").

    Differences from :class:`DualDecoderUNet`: the time enters as random Fourier
    features, which are added instead of scaling; resampling is smooth; sums keep their
    variance; attention has one head, and in the decoder only the last block of a level
    has it; the image enters at each level. The authors offer this head, but none of
    their configs uses it.

    Args:
        kwargs: as in :class:`DualDecoderUNet`.
    """

    encoder_type = ScaledEncoder
    decoder_type = ScaledDecoder
    embedding_settings = dict(code=FourierEmbedding, code_width=2)

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.embedding.mlp.apply(_init_xavier)

    def decode(
        self,
        skips: Sequence[tuple[Tensor, Tensor]],
        embedding: Tensor,
        needed: Sequence[bool] | None = None,
    ) -> tuple[Tensor | None, ...]:
        """The encoder outputs for each decoder to raw outputs."""
        bottom, _ = skips[-1]
        return tuple(
            decoder(bottom, self.tune(own), embedding) if is_needed else None
            for decoder, own, is_needed in zip(
                self.decoders, zip(*skips), needed or repeat(True)
            )
        )


def _even(x: Tensor) -> Tensor:
    height, width = x.shape[-2:]
    if height % 2 or width % 2:
        x = F.pad(x, (0, width % 2, 0, height % 2), mode='replicate')
    return x


def _init_xavier(module: nn.Module, gain: float = 1.0) -> None:
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        nn.init.xavier_uniform_(module.weight, gain)
        nn.init.zeros_(module.bias)
