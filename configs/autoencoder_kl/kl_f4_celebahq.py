# First stage of Table I's columns "Unconditional generation, CelebA-HQ" and
# "Inpainting": 256 x 256, from the weights of latent diffusion's kl-f4.
#
# Convert those first (docs/en/user_guides/first_stage.md) and give the file as
# model.autoencoder.checkpoint; without it, training begins from scratch.
from mmengine.config import read_base

with read_base():
    from .._base_.datasets.first_stage import *
    from .._base_.default_runtime import *
    from .._base_.models.kl_f4 import *
    from .._base_.schedules.adamw_first_stage import *

train_dataloader.dataset.update(
    data_root='data/celeba_hq',
    data_prefix=dict(img_path='images'),
    ann_file='splits/lama_train.txt',
)
val_dataloader.dataset.update(
    data_root='data/celeba_hq',
    data_prefix=dict(img_path='images'),
    ann_file='splits/lama_val.txt',
)
test_dataloader.dataset.update(
    data_root='data/celeba_hq',
    data_prefix=dict(img_path='images'),
    ann_file='splits/lama_test.txt',
)

default_hooks.ema.update(momentum=5e-3, interval=10, begin_iter=1000)
auto_scale_lr = dict(base_batch_size=8)
