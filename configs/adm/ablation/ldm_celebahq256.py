# Table II, row "LDM", CelebA-HQ-256: DDPM in the latents of the first stage, by DDIM
# steps; the paper's sampler is --sampler euler_maruyama.
from mmengine.config import read_base

with read_base():
    from ..adm_uncond_celebahq256 import *
    from ..._base_.models.ddpm import *

from mmadm.diffusion import ADMSampler
from mmadm.models import SingleDecoderUNet

model.process = ddpm.process
model.weighting = ddpm.weighting
model.sampler = dict(type=ADMSampler, num_steps=200, eta=0.0)
model.head.update(type=SingleDecoderUNet, out_channels=3)
model.preconditioner.update(predicts='eps')
del ddpm
