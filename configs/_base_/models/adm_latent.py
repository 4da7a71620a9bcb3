# The paper's model of image-conditioned tasks (Sec. V-A): Swin-B encodes the condition,
# the authors' head predicts latents of a KL autoencoder that reduces 4 times.
from mmadm.diffusion import ADMProcess, ADMSampler, Preconditioner, TimeWeighting
from mmadm.models import (
    ADM,
    ADMLoss,
    DiffusionPreprocessor,
    KLAutoencoder,
    RelationUNet,
    SwinEncoder,
)

model = dict(
    type=ADM,
    data_preprocessor=dict(type=DiffusionPreprocessor, size_divisor=4),
    first_stage=dict(type=KLAutoencoder),
    condition_encoder=dict(
        type=SwinEncoder, arch='base', weights='swin-base_16xb64_in1k'
    ),
    head=dict(
        type=RelationUNet,
        in_channels=3,
        out_channels=(3, 3),
        base_channels=128,
        channel_mult=(1, 2, 4, 4),
    ),
    process=dict(type=ADMProcess, t_min=1e-4),
    # Latents are scaled to a standard deviation of one.
    preconditioner=dict(type=Preconditioner, sigma_data=1.0),
    weighting=dict(type=TimeWeighting, rule='paper'),
    loss=dict(type=ADMLoss, distance='l2'),
    sampler=dict(type=ADMSampler, num_steps=10),
)
