# Edges on BSDS500 at toy width, crops of 96 x 96: Table I's column "Edge Detection",
# made for a laptop's CPU and some minutes.
from mmengine.config import read_base

with read_base():
    from .adm_edge_bsds import *
    from .._base_.models.adm_toy import *
    from .._base_.schedules.adamw_toy import *

train_dataloader.update(batch_size=8)
train_dataloader.dataset.pipeline[2].update(size=(96, 96))
val_dataloader.dataset.update(indices=4)

default_hooks.ema.update(momentum=5e-3)
default_hooks.logger.update(interval=20)
default_hooks.checkpoint.update(interval=500)
auto_scale_lr.update(base_batch_size=8)
