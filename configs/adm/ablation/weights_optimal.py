# Beside Table V, loss weight: row 4 for data of deviation 0.5 instead of 1.
from mmengine.config import read_base

with read_base():
    from ..adm_uncond_cifar10 import *

from mmadm.diffusion import OptimalWeighting

model.weighting = dict(type=OptimalWeighting)
