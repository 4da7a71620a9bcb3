# Fig. 7, linear function: h_t = a t + c, of which a is drawn.
from mmengine.config import read_base

with read_base():
    from ..adm_uncond_cifar10 import *

from mmadm.diffusion import LinearAttenuation

model.process.attenuation.update(type=LinearAttenuation)
model.head.update(out_channels=(6, 3))  # phi = (a, c)
