# Table V, loss weight, as in the authors' code: lambda_2 without the square.
from mmengine.config import read_base

with read_base():
    from ..adm_uncond_cifar10 import *

# The offset in the denominator of lambda_2 is their smallest time.
model.weighting.update(rule='authors', t_min=1e-3)
