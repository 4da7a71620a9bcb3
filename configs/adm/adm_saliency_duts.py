# Table I, column "Saliency Detection"; Tables III and IV, MAE on DUTS.
#
# The prediction is a map of one channel. Diffusion runs in the latents of a first stage
# that was trained on masks.
from mmengine.config import read_base

with read_base():
    from .._base_.datasets.duts import *
    from .._base_.default_runtime import *
    from .._base_.models.adm_latent import *
    from .._base_.schedules.adamw_poly import *

# ImageNet's statistics, for the Swin that was trained on it.
model.data_preprocessor.update(
    mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)
)
model.first_stage.update(
    in_channels=1, checkpoint='work_dirs/kl_f4_duts/iter_80000.pth'
)

auto_scale_lr = dict(base_batch_size=16)
