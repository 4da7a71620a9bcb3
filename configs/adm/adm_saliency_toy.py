# Saliency on DUTS at toy width and 96 x 96: Table I's column "Saliency Detection", made
# for a laptop's CPU and some minutes.
from mmengine.config import read_base

with read_base():
    from .adm_saliency_duts import *
    from .._base_.models.adm_toy import *
    from .._base_.schedules.adamw_toy import *

train_dataloader.update(batch_size=8)
train_dataloader.dataset.pipeline[1].update(size=(96, 96))
val_dataloader.dataset.pipeline[1].update(size=(96, 96))
test_dataloader.dataset.pipeline[1].update(size=(96, 96))

default_hooks.ema.update(momentum=5e-3)
default_hooks.logger.update(interval=20)
default_hooks.checkpoint.update(interval=500)
auto_scale_lr.update(base_batch_size=8)
