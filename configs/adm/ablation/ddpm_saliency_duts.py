# Table IV, row "DDPM", MAE on DUTS: the task of ../adm_saliency_duts.py
# with DDPM's process and noise prediction, by Euler-Maruyama.
from mmengine.config import read_base

with read_base():
    from ..adm_saliency_duts import *
    from ..._base_.models.ddpm import *

from mmadm.models import SingleDecoderRelationUNet

model.process = ddpm.process
model.weighting = ddpm.weighting
model.sampler = ddpm.sampler
model.head.update(type=SingleDecoderRelationUNet, out_channels=3)
model.preconditioner.update(predicts='eps')
del ddpm
