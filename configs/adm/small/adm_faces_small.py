# Faces of 64 x 64 at small size (Table I, "Unconditional generation"), a model in the
# box.
from mmengine.config import read_base

with read_base():
    from ..._base_.datasets.faces_small import *
    from ..._base_.default_runtime import *
    from ..._base_.models.adm_compact import *
    from ..._base_.schedules.adamw_small import *

model.condition_encoder = None
model.data_preprocessor.update(mean=(127.5,), std=(127.5,), size_divisor=8)
model.first_stage.update(patch=2, gain=1.0)
model.head.update(
    in_channels=12,
    out_channels=(12, 12),
    base_channels=8,
    channel_mult=(4, 4, 4),
    attention_levels=(2,),
    condition_channels=None,
)
model.head.pop('fusion')
model.preconditioner.update(sigma_data=0.5)
model.sampler.update(num_steps=10, clip=1.0)

train_cfg.update(max_iters=20000, val_interval=5000)
optim_wrapper.optimizer.update(lr=1.5e-3)
default_hooks.ema.update(momentum=5e-4)
default_hooks.checkpoint.update(interval=500)
