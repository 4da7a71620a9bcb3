"""Adversarial training of the first stage."""

from collections.abc import Sequence

import torch
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from torch import Tensor

from mmadm.registry import MODELS, build
from mmadm.structures import DiffusionSample, training_seeds
from mmadm.utils import SampleNoise

from .autoencoders import Draw, KLAutoencoder
from .data_preprocessor import DiffusionPreprocessor
from .losses import (
    PatchDiscriminator,
    ReconstructionLoss,
    adaptive_weight,
    hinge_loss,
    kl_divergence,
)


@MODELS.register_module()
class AutoencoderGAN(BaseModel):
    """A first stage that is trained with LPIPS and against a discriminator.

    As in latent diffusion (Rombach et al.): 72,793,857 parameters with those of the
    losses. There is one backward pass for both losses: the discriminator's weights get
    no gradient from the autoencoder's loss, and the autoencoder's none from the
    discriminator's.

    Args:
        autoencoder: the first stage.
        discriminator: logits of image patches.
        reconstruction: distance of image and reconstruction.
        data_preprocessor: converts between 8 bits and the tensors of the networks; its
            ``size_divisor`` must be a multiple of the autoencoder's ``factor``.
        kl_weight: weight of the KL divergence from the standard normal distribution.
        disc_weight: factor of the adaptive weight.
        disc_start: iteration from which on the discriminator is trained and used.
    """

    def __init__(
        self,
        autoencoder: dict = dict(type=KLAutoencoder),
        discriminator: dict = dict(type=PatchDiscriminator),
        reconstruction: dict = dict(type=ReconstructionLoss),
        data_preprocessor: dict = dict(type=DiffusionPreprocessor, size_divisor=4),
        kl_weight: float = 1e-6,
        disc_weight: float = 0.5,
        disc_start: int = 0,
    ) -> None:
        super().__init__(build(MODELS, data_preprocessor))
        self.autoencoder: KLAutoencoder = build(MODELS, autoencoder)
        self.discriminator: PatchDiscriminator = build(MODELS, discriminator)
        self.reconstruction: ReconstructionLoss = build(MODELS, reconstruction)
        self.kl_weight = kl_weight
        self.disc_weight = disc_weight
        self.disc_start = disc_start
        ours, theirs = self.autoencoder.in_channels, self.discriminator.in_channels
        if ours != theirs:
            raise ValueError(
                f'The autoencoder has images of {ours} channels, but the discriminator '
                f'takes {theirs}. Set in_channels of both alike.'
            )

    def forward(
        self,
        inputs: dict,
        data_samples: Sequence[DiffusionSample] | None = None,
        mode: str = 'tensor',
    ):
        """Entry point of MMEngine's loops and wrappers.

        Args:
            inputs: 'image', as the data preprocessor gives it.
            data_samples: metadata of each sample.
            mode: 'loss', 'predict', or 'tensor': the reconstruction alone.
        """
        if mode == 'loss':
            started = MessageHub.get_current_instance().get_info('iter', 0)
            draw = self._noise(inputs['image'], data_samples)
            return self.loss(inputs['image'], draw, started >= self.disc_start)
        if mode == 'predict':
            return self.predict(inputs['image'], data_samples)
        if mode == 'tensor':
            return self.autoencoder(inputs['image'], draw=None)[0]
        raise ValueError(f"Unknown mode={mode!r}. Use 'loss', 'predict' or 'tensor'.")

    def loss(self, image: Tensor, draw: Draw, adversarial: bool) -> dict[str, Tensor]:
        """The losses of autoencoder and discriminator, and their terms.

        Args:
            image: (N, C, H, W), [-1, 1].
            draw: noise of each sample, for the posterior.
            adversarial: whether the discriminator is trained and used yet.

        Returns:
            ``total_loss`` of the autoencoder, ``disc_loss`` of the discriminator; the
            other entries, without gradient, are for the log: ``nll_loss`` (summed over
            an image's pixels), ``rec_loss`` (their mean), ``kl_loss``, ``logvar``,
            ``g_loss`` with its weights ``d_weight`` and ``disc_factor``, and the mean
            logits ``logits_real`` and ``logits_fake``.
        """
        reconstructed, moments = self.autoencoder(image, draw)
        distance = self.reconstruction(image, reconstructed)
        nll = self.reconstruction.negative_log_likelihood(distance)
        kl = kl_divergence(moments).mean()
        log = dict(
            logvar=self.reconstruction.logvar,
            kl_loss=kl,
            nll_loss=nll,
            rec_loss=distance.mean(),
        )
        g_loss, d_weight = (
            self._generator_loss(reconstructed, nll)
            if adversarial
            else nll.new_zeros(2)
        )
        total = nll + self.kl_weight * kl + d_weight * g_loss

        disc_factor = nll.new_tensor(float(adversarial))
        real = self.discriminator(image)
        fake = self.discriminator(reconstructed.detach())
        disc_loss = disc_factor * hinge_loss(real, fake)
        log |= dict(
            d_weight=d_weight,
            disc_factor=disc_factor,
            g_loss=g_loss,
            logits_real=real.mean(),
            logits_fake=fake.mean(),
        )
        log = {key: value.detach() for key, value in log.items()}
        return dict(total_loss=total, disc_loss=disc_loss, **log)

    def parse_losses(
        self, losses: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The sum to minimise, and the log. Most entries are terms of others."""
        loss = losses['total_loss'] + losses['disc_loss']
        return loss, dict(loss=loss, **losses)

    @torch.no_grad()
    def predict(
        self, image: Sequence[Tensor], data_samples: Sequence[DiffusionSample]
    ) -> list[DiffusionSample]:
        """Give each sample its reconstruction, from the posterior's mean.

        Args:
            image: (C, H, W) each, [-1, 1].
            data_samples: have ``target_shape``; get ``pred_img``.
        """
        for x, sample in zip(image, data_samples):
            latent = self.autoencoder.encode(x[None], condition=None)
            decoded = self.autoencoder.decode(latent)[0]
            sample.pred_img = self.data_preprocessor.to_uint8(decoded, sample)
        return list(data_samples)

    def _generator_loss(
        self, reconstructed: Tensor, nll: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The adversarial loss of the reconstruction, and its adaptive weight."""
        g_loss = -self.discriminator.judge(reconstructed).mean()
        last = self.autoencoder.decoder.conv_out.weight
        return g_loss, self.disc_weight * adaptive_weight(nll, g_loss, last)

    def _noise(self, image: Tensor, data_samples: Sequence[DiffusionSample]) -> Draw:
        seeds = training_seeds(data_samples)
        return SampleNoise(seeds, image.shape[1:], image.device, image.dtype)
