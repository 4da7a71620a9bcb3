# Not in the paper: row 4 of Table V (loss weight) for data of standard deviation 0.5.
from mmengine.config import read_base

with read_base():
    from ..adm_uncond_cifar10 import *

from mmadm.diffusion import OptimalWeighting

model.weighting = dict(type=OptimalWeighting)
