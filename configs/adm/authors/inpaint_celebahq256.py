# Inpainting of CelebA-HQ-256 by the authors' recipe: their scaling, l1 and l2
# together, sums and the reconstruction term in the loss, deterministic sampling.
from mmengine.config import read_base

with read_base():
    from ..adm_inpaint_celebahq256 import *
    from ..._base_.models.authors_conditional import *

# The condition goes to Swin in [-1, 1].
model.data_preprocessor.update(mean=(127.5,), std=(127.5,))
model.preconditioner = authors.preconditioner
model.loss = authors.loss
model.sampler = authors.sampler
model.weighting.update(rule='one')
del authors

train_dataloader.update(batch_size=48)
optim_wrapper.update(accumulative_counts=2)
default_hooks.ema.update(momentum=4e-4, interval=8, begin_iter=20000)
auto_scale_lr.update(base_batch_size=2 * 48)
