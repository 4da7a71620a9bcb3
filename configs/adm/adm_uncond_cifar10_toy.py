# CIFAR-10 at toy width: Table I's column "Unconditional generation, CIFAR10", made for
# a laptop's CPU and some minutes.
from mmengine.config import read_base

with read_base():
    from .adm_uncond_cifar10 import *
    from .._base_.schedules.adamw_toy import *

from mmadm.datasets import CIFAR10Images
from mmadm.datasets.transforms import PackDiffusionInputs
from mmadm.evaluation import FrechetDistance

model.head.update(base_channels=32, channel_mult=(1, 2, 2), num_blocks=1)
model.preconditioner.update(sigma_data=0.5)

train_dataloader.update(batch_size=32)
test_dataloader.update(batch_size=64)
test_dataloader.dataset.update(num_samples=256)
# Not FID: features of a model in the box, which need no download.
test_evaluator = dict(
    type=FrechetDistance,
    network='adm_edge_small',
    reference=dict(
        type=CIFAR10Images,
        data_root='data/cifar10',
        split='test',
        indices=1000,
        pipeline=[dict(type=PackDiffusionInputs)],
    ),
)

default_hooks.ema.update(momentum=5e-3)
default_hooks.logger.update(interval=20)
default_hooks.checkpoint.update(interval=500)
auto_scale_lr.update(base_batch_size=32)
