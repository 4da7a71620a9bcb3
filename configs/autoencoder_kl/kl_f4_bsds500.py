# First stage of Table I's column "Edge detection": the annotators' mean edges, one
# channel, in windows of 320 x 320; from scratch.
from mmengine.config import read_base

with read_base():
    from .._base_.datasets.first_stage import *
    from .._base_.default_runtime import *
    from .._base_.models.kl_f4 import *
    from .._base_.schedules.adamw_first_stage import *

from mmadm.datasets.transforms import (
    LoadBoundaries,
    RandomResizedCrop,
    SaturateEdges,
)

train_dataloader.dataset.update(
    data_root='data/BSDS500/data/augmented',
    data_prefix=dict(img_path='images', seg_map_path='edges'),
)
val_dataloader.dataset.update(
    data_root='data/BSDS500/data',
    data_prefix=dict(img_path='images/test', edges_path='groundTruth/test'),
)
test_dataloader.dataset.update(
    data_root='data/BSDS500/data',
    data_prefix=dict(img_path='images/test', edges_path='groundTruth/test'),
)
train_dataloader.dataset.pipeline[1:1] = [
    dict(type=SaturateEdges),
    dict(type=RandomResizedCrop, size=(320, 320)),
]
val_dataloader.dataset.pipeline[1:1] = [
    dict(type=LoadBoundaries),
    dict(type=SaturateEdges),
]
test_dataloader.dataset.pipeline[1:1] = [
    dict(type=LoadBoundaries),
    dict(type=SaturateEdges),
]
train_dataloader.dataset.pipeline[-1].update(image='gt_seg_map')
val_dataloader.dataset.pipeline[-1].update(image='gt_seg_map')
test_dataloader.dataset.pipeline[-1].update(image='gt_seg_map')

model.autoencoder.update(in_channels=1)
model.discriminator.update(in_channels=1)
model.update(disc_start=50001)

train_cfg.update(max_iters=150000)
param_scheduler.update(eta_min=5e-7)
default_hooks.ema.update(momentum=5e-3, interval=10, begin_iter=1000)
auto_scale_lr = dict(base_batch_size=8)
