# A small conditional model on pixels, for images in and images out of the same size.
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
    data_preprocessor=dict(type=DiffusionPreprocessor),
    first_stage=dict(type=PixelStage),
    condition_encoder=dict(type=ConvEncoder, channels=(32, 64, 96)),
    head=dict(
        type=DualDecoderUNet,
        in_channels=3,
        out_channels=(3, 3),
        base_channels=32,
        channel_mult=(1, 2, 3),
        num_blocks=1,
        attention_levels=(),
        condition_channels=(32, 64, 96),
        fusion=dict(type=ConcatFusion),
    ),
    process=dict(type=ADMProcess, t_min=1e-4),
    preconditioner=dict(type=Preconditioner, sigma_data=0.5),
    weighting=dict(type=OptimalWeighting),
    sampler=dict(type=ADMSampler, num_steps=5, clip=1.0),
)
