# Super-resolution of DIV2K by the authors' recipe: their scaling, l1 and l2
# together, sums and the reconstruction term in the loss, deterministic sampling.
from mmengine.config import read_base

with read_base():
    from ..adm_sr_div2k import *

from mmadm.diffusion import ADMSampler, Preconditioner, UniformGrid
from mmadm.models import AuthorsLoss

# The condition goes to Swin in [-1, 1].
model.data_preprocessor.update(mean=(127.5,), std=(127.5,))
model.preconditioner = dict(type=Preconditioner, scaling='conditional')
model.weighting.update(rule='authors')
model.loss = dict(
    type=AuthorsLoss, distance='l1_l2', reduction='sum', reconstruction='log'
)
model.sampler = dict(
    type=ADMSampler,
    num_steps=10,
    eta=0.0,
    correct=False,
    grid=dict(type=UniformGrid),
)

train_dataloader.update(batch_size=16)
# Iterations are batches here, steps of the optimizer there.
optim_wrapper.update(accumulative_counts=2)
train_cfg.update(max_iters=2 * 400000)
default_hooks.ema.update(momentum=4e-4, interval=2 * 10, begin_iter=2 * 40000)
auto_scale_lr.update(base_batch_size=16)
