# CelebA-HQ-256 by the recipe of the authors' code with Table I's sizes: one decoder,
# noise b(t) = t, sums in the loss, deterministic sampling.
from mmengine.config import read_base

with read_base():
    from ..adm_uncond_celebahq256 import *

from mmadm.diffusion import ADMSampler, EqualStepGrid, LinearNoise
from mmadm.models import AuthorsLoss, SingleDecoderUNet

model.first_stage.update(scale_factor=0.165)
model.head.update(type=SingleDecoderUNet, out_channels=3)
model.process.update(noise=dict(type=LinearNoise))
model.preconditioner.update(predicts='phi')
# Their weights reach 1e6.
model.weighting.update(rule='authors_linear_noise', t_min=1e-3, cap=1e7)
model.loss = dict(
    type=AuthorsLoss, distance='l2', reduction='sum', reconstruction='log'
)
model.sampler = dict(
    type=ADMSampler,
    num_steps=10,
    eta=0.0,
    correct=False,
    grid=dict(type=EqualStepGrid),
)

train_dataloader.update(batch_size=64)
optim_wrapper.update(accumulative_counts=4)
param_scheduler.update(warmup_iters=5000)
default_hooks.ema.update(momentum=4e-4, interval=2, begin_iter=20000)
auto_scale_lr.update(base_batch_size=4 * 64)
