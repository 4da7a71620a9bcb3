# Table V, loss type, row "l1" (FID 12.08).
from mmengine.config import read_base

with read_base():
    from ..adm_uncond_cifar10 import *

model.loss.update(distance='l1')
