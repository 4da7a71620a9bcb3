# The KL autoencoder that reduces images 4 times (the paper's large images, Sec. V-A),
# with the losses of its training: 72.79M parameters, 55.31M of them the autoencoder's.
from mmadm.models import (
    AutoencoderGAN,
    DiffusionPreprocessor,
    KLAutoencoder,
    PatchDiscriminator,
    ReconstructionLoss,
)

model = dict(
    type=AutoencoderGAN,
    data_preprocessor=dict(type=DiffusionPreprocessor, size_divisor=4),
    autoencoder=dict(
        type=KLAutoencoder,
        in_channels=3,
        base_channels=128,
        channel_mult=(1, 2, 4),
        num_blocks=2,
        latent_channels=3,
        # Validation images may be larger than those of training.
        tile=512,
    ),
    discriminator=dict(type=PatchDiscriminator, in_channels=3),
    reconstruction=dict(type=ReconstructionLoss, lpips_weight=1.0),
    kl_weight=1e-6,
    disc_weight=0.5,
    disc_start=20001,
)
