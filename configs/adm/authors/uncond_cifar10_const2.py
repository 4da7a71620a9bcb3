# CIFAR-10 by the recipe of the authors' code that has Table I's sizes: one decoder
# (90.10M), noise b(t) = t, labelled augmentation, sums in the loss, deterministic
# sampling. Without their perceptual term.
from mmengine.config import read_base

with read_base():
    from ..adm_uncond_cifar10 import *

from mmadm.diffusion import ADMSampler, EqualStepGrid, LinearNoise
from mmadm.models import SingleDecoderUNet

model.data_preprocessor.augmentation.update(probability=0.12)
model.head.update(type=SingleDecoderUNet, out_channels=3, dropout=0.12)
model.process.update(noise=dict(type=LinearNoise))
model.preconditioner.update(sigma_data=1.0, predicts='phi')
# Their weights reach 1e6.
model.weighting.update(rule='authors_linear_noise', t_min=1e-3, cap=1e7)
model.loss.update(reduction='sum')
model.sampler = dict(
    type=ADMSampler,
    num_steps=10,
    eta=0.0,
    correct=False,
    grid=dict(type=EqualStepGrid),
)

optim_wrapper.update(accumulative_counts=2)
optim_wrapper.optimizer.update(weight_decay=1e-4)
param_scheduler.update(eta_min=5e-5, warmup_iters=5000)
default_hooks.ema.update(momentum=4e-4, interval=4, begin_iter=10000)
auto_scale_lr.update(base_batch_size=2 * 128)
