# Table VI, row "DDPM": VP process, noise prediction, Euler-Maruyama steps.
from mmengine.config import read_base

with read_base():
    from ..adm_uncond_cifar10 import *

from mmadm.diffusion import (
    EulerMaruyamaSampler,
    NoiseOnlyWeighting,
    VPProcess,
)
from mmadm.models import SingleDecoderUNet

model.head.update(type=SingleDecoderUNet, out_channels=3)
model.process = dict(type=VPProcess, t_min=1e-3)
model.preconditioner.update(predicts='eps')
model.weighting = dict(type=NoiseOnlyWeighting)
model.sampler.update(type=EulerMaruyamaSampler)
