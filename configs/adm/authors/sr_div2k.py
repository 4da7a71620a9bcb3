# Super-resolution of DIV2K by the authors' recipe: their scaling, l1 and l2
# together, sums and the reconstruction term in the loss, deterministic sampling.
from mmengine.config import read_base

with read_base():
    from ..adm_sr_div2k import *
    from ..._base_.models.authors_conditional import *

# The condition goes to Swin in [-1, 1].
model.data_preprocessor.update(mean=(127.5,), std=(127.5,))
model.preconditioner = authors.preconditioner
model.loss = authors.loss
model.sampler = authors.sampler
model.weighting.update(rule='authors')
del authors

train_dataloader.update(batch_size=16)
optim_wrapper.update(accumulative_counts=2)
train_cfg.update(max_iters=400000)
default_hooks.ema.update(momentum=4e-4, interval=10, begin_iter=40000)
auto_scale_lr.update(base_batch_size=2 * 16)
