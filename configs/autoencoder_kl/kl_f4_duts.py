# First stage of Table I's column "Saliency detection": the masks, one channel, at 384 x
# 384; from scratch.
from mmengine.config import read_base

with read_base():
    from .._base_.datasets.first_stage import *
    from .._base_.default_runtime import *
    from .._base_.models.kl_f4 import *
    from .._base_.schedules.adamw_first_stage import *

from mmadm.datasets.transforms import ResizeTo

train_dataloader.dataset.update(
    data_root='data/DUTS/DUTS-TR',
    data_prefix=dict(img_path='DUTS-TR-Image', seg_map_path='DUTS-TR-Mask'),
)
val_dataloader.dataset.update(
    data_root='data/DUTS/DUTS-TE',
    data_prefix=dict(img_path='DUTS-TE-Image', seg_map_path='DUTS-TE-Mask'),
)
test_dataloader.dataset.update(
    data_root='data/DUTS/DUTS-TE',
    data_prefix=dict(img_path='DUTS-TE-Image', seg_map_path='DUTS-TE-Mask'),
)
train_dataloader.dataset.pipeline.insert(1, dict(type=ResizeTo, size=(384, 384)))
val_dataloader.dataset.pipeline.insert(1, dict(type=ResizeTo, size=(384, 384)))
test_dataloader.dataset.pipeline.insert(1, dict(type=ResizeTo, size=(384, 384)))
train_dataloader.dataset.pipeline[-1].update(image='gt_seg_map')
val_dataloader.dataset.pipeline[-1].update(image='gt_seg_map')
test_dataloader.dataset.pipeline[-1].update(image='gt_seg_map')

model.autoencoder.update(in_channels=1)
model.discriminator.update(in_channels=1)
model.update(disc_start=40001)

train_cfg.update(max_iters=80000)
param_scheduler.update(eta_min=5e-7)
default_hooks.ema.update(momentum=5e-3, interval=10, begin_iter=1000)
auto_scale_lr = dict(base_batch_size=8)
