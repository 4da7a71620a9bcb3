# Fig. 7, square root: h_t = a sqrt(t) + c, of which a is drawn.
from mmengine.config import read_base

with read_base():
    from ..adm_uncond_cifar10 import *

from mmadm.diffusion import SquareRootAttenuation

model.process.attenuation.update(type=SquareRootAttenuation)
model.head.update(out_channels=(6, 3))  # phi = (a, c)
