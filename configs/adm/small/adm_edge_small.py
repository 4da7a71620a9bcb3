# Edges on BSDS500 at small size (Table I, "Edge Detection"), a model in the box.
from mmengine.config import read_base

with read_base():
    from ..._base_.datasets.bsds500 import *
    from ..._base_.datasets.bsds500_small import *
    from ..._base_.default_runtime import *
    from ..._base_.models.adm_compact import *
    from ..._base_.schedules.adamw_small import *

train_cfg.update(max_iters=4000, val_interval=4000)
optim_wrapper.optimizer.update(lr=6e-4)
optim_wrapper.update(
    paramwise_cfg=dict(custom_keys=dict(condition_encoder=dict(lr_mult=0.3)))
)
default_hooks.ema.update(momentum=3e-3)
default_hooks.checkpoint.update(interval=500)
