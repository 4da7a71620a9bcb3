# 4x super-resolution of DIV2K at toy width, on crops of 128 x 128: Table I's column
# "Super Resolution", made for a laptop's CPU and some minutes. Tested on Set5;
# _base_/datasets/sr_benchmarks.py names the options for Set14, B100 and DIV2K.
from mmengine.config import read_base

with read_base():
    from .adm_sr_div2k import *
    from .._base_.datasets.sr_benchmarks import *
    from .._base_.models.adm_toy import *
    from .._base_.schedules.adamw_toy import *

from mmadm.models import ResidualStage

# The model runs at the resolution of the condition: 4x4 pixels become 48 channels.
model.data_preprocessor.update(condition_scale=4)
model.first_stage.update(type=ResidualStage, gain=0.3)
model.condition_encoder.update(channels=(32, 48))
model.head.update(
    in_channels=48,
    out_channels=(48, 48),
    channel_mult=(1, 2),
    attention_levels=(),
    condition_channels=(32, 48),
)
model.preconditioner.update(sigma_data=0.025)
model.process.update(t_min=1e-6)
model.sampler.update(clip=None)

train_dataloader.update(batch_size=8)
train_dataloader.dataset.pipeline[1].update(size=128)
val_dataloader.dataset.update(indices=4)

default_hooks.ema.update(momentum=5e-3)
default_hooks.logger.update(interval=20)
default_hooks.checkpoint.update(interval=500)
auto_scale_lr.update(base_batch_size=8)
