# Fig. 7, sine function: h_t = sin(a t + b), of which a is drawn.
from mmengine.config import read_base

with read_base():
    from ..adm_uncond_cifar10 import *

from mmadm.diffusion import SineAttenuation

model.process.attenuation.update(type=SineAttenuation)
model.head.update(out_channels=(6, 3))  # phi = (a, b)
