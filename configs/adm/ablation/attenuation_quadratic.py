# Fig. 7, quadratic function: h_t = a t^2 + b t + c, of which a and b are drawn.
from mmengine.config import read_base

with read_base():
    from ..adm_uncond_cifar10 import *

from mmadm.diffusion import QuadraticAttenuation

model.process.attenuation.update(type=QuadraticAttenuation)
model.head.update(out_channels=(9, 3))  # phi = (a, b, c)
