# Fig. 7, exponential function: h_t = a e^t + c, of which a is drawn.
from mmengine.config import read_base

with read_base():
    from ..adm_uncond_cifar10 import *

from mmadm.diffusion import ExponentialAttenuation

model.process.attenuation.update(type=ExponentialAttenuation)
model.head.update(out_channels=(6, 3))  # phi = (a, c)
