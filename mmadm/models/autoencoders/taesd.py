"""The tiny autoencoders of the TAESD family as first stage."""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmadm.checkpoints.weights import check_fit, read_weights
from mmadm.registry import MODELS

from .pixel import Draw

#: Width of all layers.
_WIDTH = 64


@MODELS.register_module()
class TinyAutoencoderStage(BaseModule):
    """A tiny autoencoder of the TAESD family with published weights.

    TAESD (O. Boer Bohan, https://github.com/madebyollin/taesd, MIT licence) consists of
    convolutions, has about a million parameters in each direction, and approximates the
    first stage of a large latent diffusion model. The defaults are those of TAEF2, the
    one for FLUX.2; its latents of photographs have a standard deviation of about one
    when scaled by 1.16.

    Args:
        encoder: file with the encoder's weights (``taef2_encoder.pth``); read, like the
            decoder's, when training starts (``init_weights``): a trained model contains
            them. Without a file the weights are random.
        decoder: file with the decoder's weights (``taef2_decoder.pth``).
        latent_channels: 32 in TAEF2, 16 in TAEF1 and TAESD3, 4 in TAESD.
        mix_groups: groups of the norm in the channel mixing of the coarsest blocks; 0
            for no mixing, as in all but TAEF2.
        scale_factor: latents are multiplied by it; positive.
    """

    #: Pixels per position of the latents, in each direction.
    factor = 8
    #: Channels of the image.
    in_channels = 3

    def __init__(
        self,
        encoder: str | None = None,
        decoder: str | None = None,
        latent_channels: int = 32,
        mix_groups: int = 4,
        scale_factor: float = 1.16,
    ) -> None:
        super().__init__()
        if not scale_factor > 0:
            raise ValueError(
                f'Latents are divided by their scale, but scale_factor={scale_factor}. '
                'Give 1 / (standard deviation of the latents), 1.16 for TAEF2.'
            )
        self.latent_channels = latent_channels
        self.encoder = _make_encoder(latent_channels, mix_groups)
        self.decoder = _make_decoder(latent_channels, mix_groups)
        self.register_buffer('scale_factor', torch.tensor(float(scale_factor)))
        self.files = {'encoder': encoder, 'decoder': decoder}

    def init_weights(self) -> None:
        """Read the weights from the files.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: its weights do not fit the network.
        """
        for name, path in self.files.items():
            if path is not None:
                weights = read_weights(path)
                check_fit(getattr(self, name), weights, path)
                getattr(self, name).load_state_dict(weights)

    def encode(
        self, image: Tensor, condition: Tensor | None, draw: Draw | None = None
    ) -> Tensor:
        """Image (N, 3, H, W), RGB, [-1, 1], to latents (N, Z, H/8, W/8).

        Raises:
            ValueError: the image is not in colour, or its sides no multiples of 8.
        """
        self._check(image)
        return self.scale_factor * self.encoder((image + 1) / 2)

    def decode(self, latent: Tensor, condition: Tensor | None = None) -> Tensor:
        """Latents (N, Z, h, w) to an image (N, 3, 8 h, 8 w), about [-1, 1].

        Raises:
            ValueError: the latents have other channels.
        """
        if latent.shape[1] != self.latent_channels:
            raise ValueError(
                f'The first stage decodes {self.latent_channels} channels, but the '
                f'latents have {latent.shape[1]}. Set in_channels and out_channels of '
                f'the head to {self.latent_channels}, or latent_channels of the first '
                'stage.'
            )
        return self.decoder(latent / self.scale_factor) * 2 - 1

    def _check(self, image: Tensor) -> None:
        channels, height, width = image.shape[1:]
        if channels != 3 or height % self.factor or width % self.factor:
            raise ValueError(
                f'The first stage takes RGB images whose sides are multiples of '
                f'{self.factor}, but got {channels} channels of {height}x{width}. '
                f'Set size_divisor={self.factor} of the data preprocessor, and load '
                'images in colour.'
            )


# The indices within the sequences are those of the published files. Layers without
# weights count.


def _make_encoder(latent_channels: int, mix_groups: int) -> nn.Sequential:
    return nn.Sequential(
        _conv(3, _WIDTH),
        _Block(),
        *(_down(), *_blocks()),
        *(_down(), *_blocks()),
        *(_down(), *_blocks(mix_groups)),
        _conv(_WIDTH, latent_channels),
    )


def _make_decoder(latent_channels: int, mix_groups: int) -> nn.Sequential:
    return nn.Sequential(
        _SoftClamp(),
        _conv(latent_channels, _WIDTH),
        nn.ReLU(),
        *_blocks(mix_groups),
        *(*_up(), *_blocks()),
        *(*_up(), *_blocks()),
        *_up(),
        _Block(),
        _conv(_WIDTH, 3),
    )


def _blocks(mix_groups: int = 0) -> list[nn.Module]:
    return [_Block(mix_groups) for _ in range(3)]


def _conv(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, padding=1)


def _down() -> nn.Conv2d:
    return nn.Conv2d(_WIDTH, _WIDTH, 3, stride=2, padding=1, bias=False)


def _up() -> list[nn.Module]:
    return [nn.Upsample(scale_factor=2), nn.Conv2d(_WIDTH, _WIDTH, 3, 1, 1, bias=False)]


class _SoftClamp(nn.Module):
    """Keeps latents within +-3, where a sampler has exceeded it."""

    def forward(self, x: Tensor) -> Tensor:
        return 3 * torch.tanh(x / 3)


class _Block(nn.Module):
    """Three convolutions with a residual connection; optional channel mixing."""

    def __init__(self, mix_groups: int = 0) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            _conv(_WIDTH, _WIDTH),
            nn.ReLU(),
            _conv(_WIDTH, _WIDTH),
            nn.ReLU(),
            _conv(_WIDTH, _WIDTH),
        )
        self.pool = _mixing(mix_groups) if mix_groups else None

    def forward(self, x: Tensor) -> Tensor:
        if self.pool is not None:
            x = x + self.pool(x)
        return F.relu(x + self.conv(x))


def _mixing(groups: int) -> nn.Sequential:
    wide = 4 * _WIDTH
    return nn.Sequential(
        nn.Conv2d(_WIDTH, wide, 1, bias=False),
        nn.GroupNorm(groups, wide),
        nn.ReLU(),
        nn.Conv2d(wide, _WIDTH, 1, bias=False),
    )
