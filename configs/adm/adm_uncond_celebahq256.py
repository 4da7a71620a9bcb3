# Table I, column "Unconditional generation, CelebA-HQ-256"; Table II, row "ADM (ours)".
#
# In the latents of the first stage configs/autoencoder_kl/kl_f4_celebahq.py trains. Two
# decoders: 96.12M parameters; with one (ablation/single_decoder_celebahq256.py) 57.68M,
# and with the first stage and its losses the paper's 130M.
from mmengine.config import read_base

with read_base():
    from .._base_.datasets.celeba_hq import *
    from .._base_.default_runtime import *
    from .._base_.schedules.adamw_poly import *

from mmadm.diffusion import ADMProcess, ADMSampler, Preconditioner, TimeWeighting
from mmadm.models import (
    ADM,
    ADMLoss,
    DiffusionPreprocessor,
    DualDecoderUNet,
    KLAutoencoder,
)

model = dict(
    type=ADM,
    data_preprocessor=dict(type=DiffusionPreprocessor, size_divisor=4),
    first_stage=dict(
        type=KLAutoencoder, checkpoint='work_dirs/kl_f4_celebahq/iter_50000.pth'
    ),
    head=dict(
        type=DualDecoderUNet,
        in_channels=3,
        out_channels=(3, 3),
        base_channels=128,
        channel_mult=(1, 2, 2, 2),
        num_blocks=3,
        attention_levels=(2, 3),
    ),
    process=dict(type=ADMProcess, t_min=1e-3),
    # Latents are scaled to a standard deviation of one.
    preconditioner=dict(type=Preconditioner, sigma_data=1.0),
    weighting=dict(type=TimeWeighting, rule='paper'),
    loss=dict(type=ADMLoss, distance='l2'),
    sampler=dict(type=ADMSampler, num_steps=10),
)

train_cfg.update(max_iters=400000)
optim_wrapper.optimizer.update(lr=1e-4, weight_decay=1e-4)
param_scheduler.update(eta_min=1e-5)
auto_scale_lr = dict(base_batch_size=48)
