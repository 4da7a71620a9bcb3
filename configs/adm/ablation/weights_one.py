# Table V, loss weight, row 1: lambda_1 = lambda_2 = 1 (FID 12.19).
from mmengine.config import read_base

with read_base():
    from ..adm_uncond_cifar10 import *

model.weighting.update(rule='one')
