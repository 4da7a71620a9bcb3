# 4x super-resolution in minutes on a laptop's CPU: the task of Table I's column "Super
# Resolution" at toy width, on the photographs in scikit-image's wheel.
from mmengine.config import read_base

with read_base():
    from .._base_.datasets.photos_sr import *
    from .._base_.datasets.photos_sr_tta import *
    from .._base_.default_runtime import *
    from .._base_.models.adm_small import *
    from .._base_.schedules.adamw_poly import *

from mmadm.models import ResidualStage

# The model runs at the resolution of the condition: 4x4 pixels become 48 channels.
model.data_preprocessor.update(size_divisor=4, condition_scale=4)
model.first_stage.update(type=ResidualStage, patch=4, gain=0.3)
model.condition_encoder.update(channels=(48, 64))
model.head.update(
    in_channels=48,
    out_channels=(48, 48),
    base_channels=48,
    channel_mult=(1, 2),
    condition_channels=(48, 64),
)
# The residual of these photographs has a standard deviation of about 0.1.
model.preconditioner.update(sigma_data=0.025)
# The last noise, sqrt(t_min) / gain in [-1, 1], is less than half a grey level.
model.process.update(t_min=1e-6)
model.sampler.update(clip=None)

train_cfg.update(max_iters=2000, val_interval=500)
optim_wrapper.optimizer.update(lr=1e-3)
param_scheduler.update(eta_min=2e-5)
default_hooks.ema.update(momentum=5e-3)
default_hooks.logger.update(interval=20)
default_hooks.checkpoint.update(interval=500)
