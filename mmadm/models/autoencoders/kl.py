"""The paper's first stage for large images: an autoencoder with a normal posterior.

Its layers have the names of latent diffusion's ``kl-f4``, so published weights load
unchanged.
"""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmadm.checkpoints.weights import check_fit, read_weights
from mmadm.registry import MODELS
from mmadm.utils.tiling import Window, blend, windows

from .pixel import Draw

#: Bounds of the posterior's log-variance.
_LOGVAR = (-30.0, 20.0)

#: Momentum with which ``scale_factor`` follows the batches of training.
_SCALE_MOMENTUM = 0.01


@MODELS.register_module()
class KLAutoencoder(nn.Module):
    """Convolutional autoencoder with a normal posterior at each position of its code.

    Rombach et al., *High-resolution image synthesis with latent diffusion models*; the
    defaults are ``kl-f4``, with 55,312,063 parameters. As ``first_stage`` of
    :class:`mmadm.models.ADM` its latents are ``scale_factor`` times the code, so that
    their standard deviation is about one. ``scale_factor`` is a buffer, so it is stored
    with the weights; in training it follows the standard deviation of the code.

    Args:
        in_channels: channels of the image.
        base_channels: width of the finest level.
        channel_mult: width of each level, in multiples of ``base_channels``; each level
            but the first halves height and width.
        num_blocks: residual blocks per level (the decoder has one more).
        latent_channels: channels of the code.
        scale_factor: initial value; loaded weights replace it.
        tile: images with more pixels per side are encoded and decoded in overlapping
            windows of this size, which are blended: the time of attention over the
            whole image grows with the square of the area. None for no windows.
        checkpoint: file with weights: a checkpoint of the first stage's training, or
            the output of a converter. It is read when training starts
            (``init_weights``): a trained diffusion model contains the weights.
    """

    def __init__(
        self,
        in_channels: int = 3,
        base_channels: int = 128,
        channel_mult: tuple[int, ...] = (1, 2, 4),
        num_blocks: int = 2,
        latent_channels: int = 3,
        scale_factor: float = 1.0,
        tile: int | None = None,
        checkpoint: str | None = None,
    ) -> None:
        super().__init__()
        #: Pixels per position of the code, in each direction.
        self.factor = 2 ** (len(channel_mult) - 1)
        self.tile = self._checked_tile(tile)
        self.in_channels = in_channels
        self.latent_channels = latent_channels
        widths = [base_channels * mult for mult in channel_mult]
        moments = 2 * latent_channels
        self.encoder = make_encoder(in_channels, widths, num_blocks, moments)
        self.decoder = make_decoder(
            latent_channels, widths, num_blocks + 1, in_channels
        )
        self.quant_conv = nn.Conv2d(moments, moments, 1)
        self.post_quant_conv = nn.Conv2d(latent_channels, latent_channels, 1)
        _start_linear(self)
        self.register_buffer('scale_factor', torch.tensor(float(scale_factor)))
        self.checkpoint = checkpoint

    def init_weights(self) -> None:
        """Read the weights from ``checkpoint``, if it is given.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: its weights do not fit the network.
        """
        if self.checkpoint is None:
            return
        if not Path(self.checkpoint).is_file():
            raise FileNotFoundError(
                f'Weights of the first stage not found: {self.checkpoint}. Train it '
                'first, with its config in configs/autoencoder_kl/, or give the file '
                'as checkpoint of the KLAutoencoder.'
            )
        weights = read_weights(self.checkpoint)
        # A checkpoint of the training contains the discriminator too.
        prefix = 'autoencoder.'
        own = {k: v for k, v in weights.items() if k.startswith(prefix)} or weights
        own = {key.removeprefix(prefix): value for key, value in own.items()}
        check_fit(self, own, self.checkpoint)
        self.load_state_dict(own)

    def forward(self, image: Tensor, draw: Draw | None) -> tuple[Tensor, Tensor]:
        """Encode, draw from the posterior and decode: the pass of training.

        Args:
            image: (N, C, H, W), [-1, 1].
            draw: noise of each sample; None to decode the posterior's mean.

        Returns:
            the reconstruction (N, C, H, W), about [-1, 1], and :meth:`moments`.
        """
        moments = self.moments(image)
        code = sample_posterior(moments, draw)
        if self.training:
            self._update_scale(code.detach())
        return self._decode(code), moments

    def encode(
        self, image: Tensor, condition: Tensor | None, draw: Draw | None = None
    ) -> Tensor:
        """Image (N, C, H, W), [-1, 1], to latents (N, Z, H/f, W/f)."""
        return self.latent(self.moments(image), draw)

    def moments(self, image: Tensor) -> Tensor:
        """Mean and log-variance of the posterior, (N, 2 Z, H/f, W/f).

        They depend on the image alone, so they can be computed once and cached.

        Raises:
            ValueError: the image has other channels, or sides that are no multiples of
                ``factor``.
        """
        self._check(image)
        size = [side // self.factor for side in image.shape[-2:]]
        if self._fits(size):
            return self._encode(image)
        pieces = self._windows(size)
        outputs = (self._encode(p.scaled(self.factor).cut(image)) for p in pieces)
        return blend(outputs, pieces, size)

    def latent(self, moments: Tensor, draw: Draw | None = None) -> Tensor:
        """A scaled sample of the posterior, (N, Z, h, w); without noise its mean."""
        return self.scale_factor * sample_posterior(moments, draw)

    def decode(self, latent: Tensor, condition: Tensor | None = None) -> Tensor:
        """Latents (N, Z, h, w) to an image (N, C, f h, f w), about [-1, 1].

        Raises:
            ValueError: the latents have other channels.
        """
        if latent.shape[1] != self.latent_channels:
            raise ValueError(
                f'The first stage decodes {self.latent_channels} channels, but the '
                f'latents have {latent.shape[1]}. Set in_channels and out_channels of '
                f'the head to {self.latent_channels}, or latent_channels of the '
                'first stage.'
            )
        code = latent / self.scale_factor
        size = code.shape[-2:]
        if self._fits(size):
            return self._decode(code)
        pieces = self._windows(size)
        outputs = (self._decode(piece.cut(code)) for piece in pieces)
        pieces = [piece.scaled(self.factor) for piece in pieces]
        return blend(outputs, pieces, [side * self.factor for side in size])

    def _update_scale(self, code: Tensor) -> None:
        """Move the scale towards that of a batch, unless that is NaN or infinite."""
        target = (1 / code.float().std()).to(self.scale_factor)
        target = torch.where(target.isfinite(), target, self.scale_factor)
        self.scale_factor.lerp_(target, _SCALE_MOMENTUM)

    def _fits(self, size: Sequence[int]) -> bool:
        return self.tile is None or max(size) * self.factor <= self.tile

    def _windows(self, size: Sequence[int]) -> list[Window]:
        """Windows of the code; each overlaps with the next by a quarter."""
        crop = self.tile // self.factor
        return windows(size, crop, stride=max(1, crop * 3 // 4))

    def _encode(self, image: Tensor) -> Tensor:
        mean, logvar = self.quant_conv(self.encoder(image)).chunk(2, dim=1)
        return torch.cat([mean, logvar.clamp(*_LOGVAR)], dim=1)

    def _decode(self, code: Tensor) -> Tensor:
        return self.decoder(self.post_quant_conv(code))

    def _check(self, image: Tensor) -> None:
        channels, height, width = image.shape[1:]
        if channels != self.in_channels:
            raise ValueError(
                f'The first stage takes images of {self.in_channels} channels, but got '
                f'{channels}. Set in_channels of the autoencoder, or pack another '
                'array with PackDiffusionInputs(image=...).'
            )
        if height % self.factor or width % self.factor:
            raise ValueError(
                f'An image of {height}x{width} cannot be reduced {self.factor} times, '
                'as the first stage does. Set size_divisor of the data preprocessor to '
                f'a multiple of {self.factor}, or crop to one.'
            )

    def _checked_tile(self, tile: int | None) -> int | None:
        if tile is not None and (tile < self.factor or tile % self.factor):
            raise ValueError(
                f'A window of tile={tile} pixels cannot be reduced {self.factor} '
                f'times. Give a positive multiple of {self.factor}, for instance '
                f'{64 * self.factor}, or None.'
            )
        return tile


def sample_posterior(moments: Tensor, draw: Draw | None) -> Tensor:
    """``mean + exp(logvar / 2) xi``, or the mean without ``draw``."""
    mean, logvar = moments.chunk(2, dim=1)
    if draw is None:
        return mean
    return mean + (logvar / 2).exp() * draw(mean.shape[1:]).to(mean)


def make_encoder(
    in_channels: int, widths: list[int], num_blocks: int, out_channels: int
) -> nn.Sequential:
    """Network from the image to the raw moments; each level is coarser."""
    levels = [
        make_level(before, width, num_blocks, **_downsample(width, i < len(widths) - 1))
        for i, (before, width) in enumerate(zip([widths[0], *widths], widths))
    ]
    return nn.Sequential(
        OrderedDict(
            conv_in=nn.Conv2d(in_channels, widths[0], 3, padding=1),
            down=nn.Sequential(*levels),
            mid=make_middle(widths[-1]),
            norm_out=_norm(widths[-1]),
            swish=nn.SiLU(),
            conv_out=nn.Conv2d(widths[-1], out_channels, 3, padding=1),
        )
    )


def make_decoder(
    in_channels: int, widths: list[int], num_blocks: int, out_channels: int
) -> nn.Sequential:
    """Network from the code to the image; level 0, the finest, is the last."""
    levels = [
        (str(i), make_level(before, width, num_blocks, **_upsample(width, i > 0)))
        for i, (before, width) in enumerate(zip([*widths[1:], widths[-1]], widths))
    ]
    return nn.Sequential(
        OrderedDict(
            conv_in=nn.Conv2d(in_channels, widths[-1], 3, padding=1),
            mid=make_middle(widths[-1]),
            up=nn.Sequential(OrderedDict(reversed(levels))),
            norm_out=_norm(widths[0]),
            swish=nn.SiLU(),
            conv_out=nn.Conv2d(widths[0], out_channels, 3, padding=1),
        )
    )


def make_level(
    in_channels: int, channels: int, num_blocks: int, **resample: nn.Module
) -> nn.Sequential:
    """Residual blocks of one resolution and the layer that changes it."""
    before = [in_channels] + [channels] * (num_blocks - 1)
    blocks = nn.Sequential(*(ResBlock(width, channels) for width in before))
    return nn.Sequential(OrderedDict(block=blocks, **resample))


def make_middle(channels: int) -> nn.Sequential:
    """Blocks of the lowest resolution, the only ones with attention."""
    return nn.Sequential(
        OrderedDict(
            block_1=ResBlock(channels, channels),
            attn_1=Attention(channels),
            block_2=ResBlock(channels, channels),
        )
    )


class ResBlock(nn.Module):
    """Two normalised convolutions with a shortcut."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm1 = _norm(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm2 = _norm(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.nin_shortcut = (
            nn.Identity()
            if in_channels == out_channels
            else nn.Conv2d(in_channels, out_channels, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H, W)."""
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return self.nin_shortcut(x) + h


class Attention(nn.Module):
    """Self-attention over all positions with one head."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = _norm(channels)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        h = self.norm(x)
        # (N, 1 head, positions, C), contiguous: other strides make attention build a
        # table of all pairs of positions.
        q, k, v = (
            layer(h).flatten(2).mT.contiguous()[:, None]
            for layer in (self.q, self.k, self.v)
        )
        gathered = F.scaled_dot_product_attention(q, k, v)[:, 0]
        return x + self.proj_out(gathered.mT.reshape(x.shape))


def _start_linear(network: nn.Module) -> None:
    """Initialise residual branches with zero, and convolutions to keep the variance.

    A deep linear network learns strong directions first. With torch's defaults, each
    convolution reduces the variance of its input, and colours, which vary less than
    brightness, are learned only after thousands of steps.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity='linear')
            nn.init.zeros_(module.bias)
    for module in network.modules():
        if isinstance(module, ResBlock):
            nn.init.zeros_(module.conv2.weight)
        elif isinstance(module, Attention):
            nn.init.zeros_(module.proj_out.weight)


def _norm(channels: int) -> nn.GroupNorm:
    """Group normalisation: 32 groups, or groups of four channels.

    A group of one channel would lose its mean, and the image its colours.
    """
    groups = next((n for n in (32, channels // 4) if n and channels % n == 0), 1)
    return nn.GroupNorm(groups, channels, eps=1e-6)


def _downsample(channels: int, wanted: bool) -> dict[str, nn.Module]:
    """A convolution of stride 2, padded at the bottom and right only."""
    pad, conv = nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(channels, channels, 3, stride=2)
    layers = nn.Sequential(OrderedDict(pad=pad, conv=conv))
    return dict(downsample=layers) if wanted else {}


def _upsample(channels: int, wanted: bool) -> dict[str, nn.Module]:
    """Nearest-neighbour upsampling and a convolution."""
    nearest, conv = nn.Upsample(scale_factor=2), nn.Conv2d(channels, channels, 3, 1, 1)
    layers = nn.Sequential(OrderedDict(nearest=nearest, conv=conv))
    return dict(upsample=layers) if wanted else {}
