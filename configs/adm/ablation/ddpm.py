# Table VI, row "DDPM": VP process, noise prediction, Euler-Maruyama steps.
from mmengine.config import read_base

with read_base():
    from ..adm_uncond_cifar10 import *
    from ..._base_.models.ddpm import *

from mmadm.models import SingleDecoderUNet

model.process = ddpm.process
model.weighting = ddpm.weighting
model.sampler = ddpm.sampler
model.head.update(type=SingleDecoderUNet, out_channels=3)
model.preconditioner.update(predicts='eps')
model.sampler.update(clip=1.0)
del ddpm
