# CIFAR-10 at toy width: Table I's column "Unconditional generation, CIFAR10", made for
# a laptop's CPU and some minutes.
from mmengine.config import read_base

with read_base():
    from .adm_uncond_cifar10 import *
    from .._base_.schedules.adamw_toy import *

model.head.update(base_channels=32, channel_mult=(1, 2, 2), num_blocks=1)
model.preconditioner.update(sigma_data=0.5)

train_dataloader.update(batch_size=32)

default_hooks.ema.update(momentum=5e-3)
default_hooks.logger.update(interval=20)
default_hooks.checkpoint.update(interval=500)
auto_scale_lr.update(base_batch_size=32)
