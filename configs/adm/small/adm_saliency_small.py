# Saliency on DUTS at small size (Table I, "Saliency Detection"), a model in the box.
from mmengine.config import read_base

with read_base():
    from ..._base_.datasets.duts import *
    from ..._base_.datasets.duts_small import *
    from ..._base_.default_runtime import *
    from ..._base_.models.adm_compact import *
    from ..._base_.schedules.adamw_small import *

val_dataloader.dataset.pipeline[1].update(size=(160, 160))
test_dataloader.dataset.pipeline[1].update(size=(160, 160))

# What an object is shows at stride 32: the whole pretrained encoder, and a narrow head.
model.condition_encoder.update(out_indices=(1, 2, 3, 4))
model.head.update(
    base_channels=28,
    channel_mult=(1, 1, 1, 1),
    attention_levels=(3,),
    condition_channels=(136, 40, 112, 320),
)

train_cfg.update(max_iters=4500, val_interval=1500)
optim_wrapper.optimizer.update(lr=6e-4)
optim_wrapper.update(
    paramwise_cfg=dict(custom_keys=dict(condition_encoder=dict(lr_mult=0.3)))
)
default_hooks.ema.update(momentum=3e-3)
default_hooks.checkpoint.update(interval=500)
