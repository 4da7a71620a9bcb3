# Table I, column "Inpainting"; Tables III and IV, FID on CelebA-HQ-256.
#
# As in the authors' code, the condition is the image with black holes, without the
# mask; known pixels are pasted back.
from mmengine.config import read_base

with read_base():
    from .._base_.datasets.celeba_hq_inpainting import *
    from .._base_.default_runtime import *
    from .._base_.models.adm_latent import *
    from .._base_.schedules.adamw_poly import *

model.first_stage.update(checkpoint='work_dirs/kl_f4_celebahq/iter_50000.pth')
model.head.update(base_channels=96, channel_mult=(1, 2, 4, 8))

train_cfg.update(max_iters=400000)
optim_wrapper.optimizer.update(lr=4e-5)
param_scheduler.update(eta_min=4e-6)
auto_scale_lr = dict(base_batch_size=48)
