# Inpainting of faces at small size (Table I, "Inpainting"), a model in the box.
from mmengine.config import read_base

with read_base():
    from ..._base_.datasets.faces_inpainting_small import *
    from ..._base_.default_runtime import *
    from ..._base_.models.adm_compact import *
    from ..._base_.schedules.adamw_small import *

# The condition has a fourth channel, the mask.
model.condition_encoder.update(in_channels=4)
model.first_stage.update(gain=0.5)
model.head.update(
    in_channels=48,
    out_channels=(48, 48),
    base_channels=40,
    attention_levels=(2,),
    condition_channels=(152, 40, 112),
)
model.preconditioner.update(sigma_data=0.25)
model.sampler.update(clip=0.5)

train_cfg.update(max_iters=4000, val_interval=2000)
optim_wrapper.optimizer.update(lr=6e-4)
optim_wrapper.update(
    paramwise_cfg=dict(custom_keys=dict(condition_encoder=dict(lr_mult=0.3)))
)
default_hooks.ema.update(momentum=2e-3)
default_hooks.checkpoint.update(interval=500)
