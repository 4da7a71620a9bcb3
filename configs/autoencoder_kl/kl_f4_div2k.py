# First stage of Table I's column "Super Resolution": crops of 512 x 512.
from mmengine.config import read_base

with read_base():
    from .._base_.datasets.first_stage import *
    from .._base_.default_runtime import *
    from .._base_.models.kl_f4 import *
    from .._base_.schedules.adamw_first_stage import *

from mmadm.datasets.transforms import RandomCrop

train_dataloader.update(batch_size=4)
train_dataloader.dataset.update(
    data_root='data/DIV2K', data_prefix=dict(img_path='DIV2K_train_HR_sub')
)
train_dataloader.dataset.pipeline.insert(1, dict(type=RandomCrop, size=512))
val_dataloader.dataset.update(
    data_root='data/DIV2K', data_prefix=dict(img_path='DIV2K_valid_HR')
)
test_dataloader.dataset.update(
    data_root='data/DIV2K', data_prefix=dict(img_path='DIV2K_valid_HR')
)

train_cfg.update(max_iters=100000)
default_hooks.ema.update(momentum=5e-3, interval=10, begin_iter=1000)
auto_scale_lr = dict(base_batch_size=4)
