# Table II, row "CLD" (Dockhorn et al., 2022), CelebA-HQ-256: as cld_cifar10.py. 4 x 4
# pixels are the channels of one position, so that the head has the size of that in
# latents.
from mmengine.config import read_base

with read_base():
    from ..adm_uncond_celebahq256 import *

from mmadm.diffusion import CLDProcess, SSCSSampler, VelocityNoiseWeighting
from mmadm.models import NCSNppUNet, VelocityStage

model.first_stage = dict(type=VelocityStage, patch=4)
model.process = dict(type=CLDProcess)
model.weighting = dict(type=VelocityNoiseWeighting)
model.head.update(type=NCSNppUNet, in_channels=96, out_channels=(48,))
model.preconditioner.update(scaling='cld', predicts='velocity_noise')
model.sampler = dict(type=SSCSSampler, num_steps=10, clip=1.0)
