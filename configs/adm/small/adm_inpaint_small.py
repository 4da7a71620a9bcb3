# Inpainting of faces at small size (Table I, "Inpainting"), a model in the box.
from mmengine.config import read_base

with read_base():
    from ..._base_.datasets.faces_inpainting_small import *
    from ..._base_.default_runtime import *
    from ..._base_.models.adm_compact import *
    from ..._base_.schedules.adamw_small import *

from mmadm.models import ResidualStage

# The residual to Telea's filling is 0 outside of the holes and at their borders, so
# that the network need not learn to copy. The condition has a fourth channel, the mask.
model.data_preprocessor.update(mean=(127.5,), std=(127.5,))
model.condition_encoder.update(in_channels=4)
model.first_stage.update(type=ResidualStage, gain=0.5)
model.head.update(
    in_channels=48,
    out_channels=(48, 48),
    base_channels=40,
    attention_levels=(2,),
    condition_channels=(152, 40, 112),
)
model.preconditioner.update(sigma_data=0.1)
model.sampler.update(clip=None)

train_cfg.update(max_iters=2300, val_interval=2300)
optim_wrapper.optimizer.update(lr=8e-4)
optim_wrapper.update(
    paramwise_cfg=dict(custom_keys=dict(condition_encoder=dict(lr_mult=0.3)))
)
default_hooks.ema.update(momentum=3e-3)
default_hooks.checkpoint.update(interval=500)
