# Table I, column "Edge Detection"; Tables III and IV, ODS on BSDS500.
#
# The paper's own row is DiffusionEdge: edge_diffusionedge_bsds.py runs its weights.
# Test images are processed whole.
from mmengine.config import read_base

with read_base():
    from .._base_.datasets.bsds500 import *
    from .._base_.default_runtime import *
    from .._base_.models.adm_latent import *
    from .._base_.schedules.adamw_poly import *

# ImageNet's statistics, for the Swin that was trained on it.
model.data_preprocessor.update(
    mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)
)
model.first_stage.update(
    in_channels=1, checkpoint='work_dirs/kl_f4_bsds500/iter_150000.pth'
)

auto_scale_lr = dict(base_batch_size=16)
