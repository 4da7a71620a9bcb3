# 4x super-resolution at small size (Table I, "Super Resolution"), a model in the box.
from mmengine.config import read_base

with read_base():
    from ..._base_.datasets.sr_benchmarks import *
    from ..._base_.datasets.sr_small import *
    from ..._base_.default_runtime import *
    from ..._base_.models.adm_compact import *
    from ..._base_.schedules.adamw_small import *

from mmadm.models import LocalDualDecoderUNet, ResidualEncoder, ResidualStage

# The model runs at the resolution of the condition: 4x4 pixels become 48 channels.
model.data_preprocessor.update(
    mean=(127.5,), std=(127.5,), size_divisor=4, condition_scale=4
)
model.first_stage.update(type=ResidualStage, gain=0.3)
model.condition_encoder = dict(
    type=ResidualEncoder, channels=(64, 64), num_blocks=(9, 1)
)
model.head.update(
    type=LocalDualDecoderUNet,
    in_channels=48,
    out_channels=(48, 48),
    base_channels=48,
    channel_mult=(1, 2),
    condition_channels=(64, 64),
)
model.preconditioner.update(sigma_data=0.025)
model.process.update(t_min=1e-6)
model.sampler.update(clip=None)

val_dataloader = test_dataloader
val_evaluator = test_evaluator

train_cfg.update(max_iters=6000, val_interval=1000)
optim_wrapper.optimizer.update(lr=8e-4)
default_hooks.ema.update(momentum=2e-3)
default_hooks.checkpoint.update(interval=500)
default_hooks.acceleration.update(channels_last=True)
