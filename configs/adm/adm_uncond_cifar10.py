# Table I, column "Unconditional generation, CIFAR10"; Table II, row "ADM (ours)".
#
# Two decoders, as in the paper's text and Table V: 150,134,896 parameters. The 90M of
# Table II are those of one decoder, ablation/arch_single_decoder.py. The labelled
# augmentation is not in the paper, but in the authors' recipe for these sizes.
from mmengine.config import read_base

with read_base():
    from .._base_.datasets.cifar10 import *
    from .._base_.default_runtime import *
    from .._base_.schedules.adamw_poly import *

from mmadm.diffusion import (
    ADMProcess,
    ADMSampler,
    ConstantAttenuation,
    Preconditioner,
    TimeWeighting,
)
from mmadm.models import (
    ADM,
    ADMLoss,
    DiffusionPreprocessor,
    DualDecoderUNet,
    LabelledAugmentation,
)

model = dict(
    type=ADM,
    data_preprocessor=dict(
        type=DiffusionPreprocessor,
        augmentation=dict(type=LabelledAugmentation, probability=0.15),
    ),
    head=dict(
        type=DualDecoderUNet,
        out_channels=(3, 3),
        base_channels=160,
        channel_mult=(1, 2, 2, 2),
        num_blocks=3,
        attention_levels=(1, 2),
        augment_dim=9,
    ),
    process=dict(
        type=ADMProcess, attenuation=dict(type=ConstantAttenuation), t_min=1e-3
    ),
    preconditioner=dict(type=Preconditioner),
    weighting=dict(type=TimeWeighting, rule='paper'),
    loss=dict(type=ADMLoss, distance='l2'),
    sampler=dict(type=ADMSampler, num_steps=10, clip=1.0),
)

train_cfg.update(max_iters=800000)
optim_wrapper.optimizer.update(lr=1e-4)
param_scheduler.update(eta_min=1e-5)
auto_scale_lr = dict(base_batch_size=128)
