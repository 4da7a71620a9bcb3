# A toy for any task: patches of pixels instead of latents and a narrow network, so that
# a laptop's CPU trains it in minutes. Colour images in, maps of one channel out.
from mmadm.diffusion import ADMProcess, ADMSampler, OptimalWeighting, Preconditioner
from mmadm.models import (
    ADM,
    ConcatFusion,
    ConvEncoder,
    DiffusionPreprocessor,
    DualDecoderUNet,
    PixelStage,
)

model = dict(
    type=ADM,
    data_preprocessor=dict(type=DiffusionPreprocessor, size_divisor=4),
    first_stage=dict(type=PixelStage, patch=4),
    condition_encoder=dict(type=ConvEncoder, channels=(8, 16, 32, 32)),
    head=dict(
        type=DualDecoderUNet,
        in_channels=16,
        out_channels=(16, 16),
        base_channels=32,
        channel_mult=(1, 1, 2, 2),
        num_blocks=1,
        attention_levels=(3,),
        condition_channels=(8, 16, 32, 32),
        fusion=dict(type=ConcatFusion),
    ),
    process=dict(type=ADMProcess, t_min=1e-4),
    preconditioner=dict(type=Preconditioner, sigma_data=1.0),
    weighting=dict(type=OptimalWeighting),
    sampler=dict(type=ADMSampler, num_steps=5, clip=1.0),
)
