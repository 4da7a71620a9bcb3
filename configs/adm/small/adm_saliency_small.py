# Saliency on DUTS at small size (Table I, "Saliency Detection"), a model in the box.
from mmengine.config import read_base

with read_base():
    from ..._base_.datasets.duts import *
    from ..._base_.datasets.duts_small import *
    from ..._base_.default_runtime import *
    from ..._base_.models.adm_compact import *
    from ..._base_.schedules.adamw_small import *

val_dataloader.dataset.pipeline[1].update(size=(192, 192))
test_dataloader.dataset.pipeline[1].update(size=(192, 192))

train_cfg.update(max_iters=6000, val_interval=2000)
optim_wrapper.optimizer.update(lr=6e-4)
optim_wrapper.update(
    paramwise_cfg=dict(custom_keys=dict(condition_encoder=dict(lr_mult=0.3)))
)
default_hooks.ema.update(momentum=3e-3)
default_hooks.checkpoint.update(interval=500)
