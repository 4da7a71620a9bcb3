# Table VI, row "with x0 prediction": DDPM and a branch for the image (Sec. IV-A).
from mmengine.config import read_base

with read_base():
    from ..adm_uncond_cifar10 import *

from mmadm.diffusion import EulerMaruyamaSampler, VPProcess
from mmadm.models import ConvBranchUNet

model.head.update(type=ConvBranchUNet)
model.process = dict(type=VPProcess, t_min=1e-3)
model.weighting.update(rule='one')
model.sampler.update(type=EulerMaruyamaSampler)
