# Table V, loss weight, row 3: lambda_1 = e^t, lambda_2 = e^(1-t) (FID 11.56).
from mmengine.config import read_base

with read_base():
    from ..adm_uncond_cifar10 import *

model.weighting.update(rule='exponential')
