# 4x super-resolution in minutes on a laptop's CPU: Table I's shape at toy width.
from mmengine.config import read_base

with read_base():
    from .._base_.datasets.photos_sr import *
    from .._base_.datasets.photos_sr_tta import *
    from .._base_.default_runtime import *
    from .._base_.schedules.adamw_poly import *

from mmadm.diffusion import ADMProcess, ADMSampler, OptimalWeighting, Preconditioner
from mmadm.models import ADM, ConvEncoder, DualDecoderUNet, ResidualStage

model = dict(
    type=ADM,
    first_stage=dict(type=ResidualStage, scale=4, patch=4),
    condition_encoder=dict(type=ConvEncoder, channels=(48, 64)),
    head=dict(
        type=DualDecoderUNet,
        in_channels=48,
        out_channels=(48, 48),
        base_channels=48,
        channel_mult=(1, 2),
        num_blocks=1,
        attention_levels=(),
        condition_channels=(48, 64),
    ),
    process=dict(type=ADMProcess, t_min=1e-4),
    preconditioner=dict(type=Preconditioner, sigma_data=0.08),
    weighting=dict(type=OptimalWeighting),
    sampler=dict(type=ADMSampler, num_steps=5),
)

train_cfg.update(max_iters=1200, val_interval=600)
optim_wrapper.optimizer.update(lr=1e-3)
param_scheduler.update(eta_min=1e-4, end=1200)
custom_hooks[1].update(momentum=5e-3)
default_hooks.logger.update(interval=20)
default_hooks.checkpoint.update(interval=600)
