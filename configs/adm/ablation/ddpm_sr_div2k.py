# Table IV, row "DDPM", PSNR on DIV2K x4: the task of ../adm_sr_div2k.py
# with DDPM's process and noise prediction, by Euler-Maruyama.
from mmengine.config import read_base

with read_base():
    from ..adm_sr_div2k import *
    from ..._base_.models.ddpm import *

from mmadm.models import SingleDecoderRelationUNet

model.process = ddpm.process
model.weighting = ddpm.weighting
model.sampler = ddpm.sampler
model.head.update(type=SingleDecoderRelationUNet, out_channels=3)
model.preconditioner.update(predicts='eps')
del ddpm
