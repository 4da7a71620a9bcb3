# Table IV, row "DDPM", FID on CelebA-HQ-256: the task of ../adm_inpaint_celebahq256.py
# with DDPM's process and noise prediction, by Euler-Maruyama.
from mmengine.config import read_base

with read_base():
    from ..adm_inpaint_celebahq256 import *
    from ..._base_.models.ddpm import *

from mmadm.models import SingleDecoderRelationUNet

model.process = ddpm.process
model.weighting = ddpm.weighting
model.sampler = ddpm.sampler
model.head.update(type=SingleDecoderRelationUNet, out_channels=3)
model.preconditioner.update(predicts='eps')
del ddpm
