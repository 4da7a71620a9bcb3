# Table II, row "EDM", CelebA-HQ-256, in the latents of the first stage.
from mmengine.config import read_base

with read_base():
    from ..adm_uncond_celebahq256 import *
    from ..._base_.models.edm import *

from mmadm.models import SingleDecoderUNet

model.process = edm.process
model.weighting = edm.weighting
model.sampler = edm.sampler
model.head.update(type=SingleDecoderUNet, out_channels=3)
model.preconditioner.update(scaling='edm', predicts='phi')
del edm
