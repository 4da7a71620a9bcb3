# Table V, loss weight, row 2: lambda_1 = 1/t, lambda_2 = 1/(1-t) (FID 11.07).
from mmengine.config import read_base

with read_base():
    from ..adm_uncond_cifar10 import *

model.weighting.update(rule='inverse')
