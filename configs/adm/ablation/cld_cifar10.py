# Table II, row "CLD" (Dockhorn et al., 2022), CIFAR-10: image and velocity, hybrid
# score matching, NCSN++, symmetric splitting. The sampler of Table II is --sampler
# euler_maruyama.
from mmengine.config import read_base

with read_base():
    from ..adm_uncond_cifar10 import *

from mmadm.diffusion import CLDProcess, SSCSSampler, VelocityNoiseWeighting
from mmadm.models import NCSNppUNet, VelocityStage

model.first_stage = dict(type=VelocityStage)
model.process = dict(type=CLDProcess)
model.weighting = dict(type=VelocityNoiseWeighting)
model.head.update(type=NCSNppUNet, in_channels=6, out_channels=(3,))
model.preconditioner.update(scaling='cld', predicts='velocity_noise')
model.sampler = dict(type=SSCSSampler, num_steps=10, clip=1.0)
