# Inpainting of CelebA-HQ-256 at toy width, on patches of 8 x 8 pixels: Table I's column
# "Inpainting", made for a laptop's CPU and some minutes.
from mmengine.config import read_base

with read_base():
    from .adm_inpaint_celebahq256 import *
    from .._base_.models.adm_toy import *
    from .._base_.schedules.adamw_toy import *

from mmadm.evaluation import FrechetDistance, ImageFidelity

model.data_preprocessor.update(size_divisor=8)
model.first_stage.update(patch=8)
model.head.update(in_channels=192, out_channels=(192, 192), base_channels=64)
model.preconditioner.update(sigma_data=0.5)

train_dataloader.update(batch_size=8)
val_dataloader.dataset.update(indices=8)
test_dataloader.dataset.update(indices=64)
# Not FID: features of a model in the box, which need no download.
test_evaluator = [
    dict(type=FrechetDistance, network='adm_edge_small'),
    dict(type=ImageFidelity, measures=('psnr', 'ssim', 'psnr_hole')),
]

default_hooks.ema.update(momentum=5e-3)
default_hooks.logger.update(interval=20)
default_hooks.checkpoint.update(interval=500)
auto_scale_lr.update(base_batch_size=8)
