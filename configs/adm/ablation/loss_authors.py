# The authors' own objective for latents: sums, l1 + l2, and a reconstruction term.
from mmengine.config import read_base

with read_base():
    from ..adm_uncond_cifar10 import *

from mmadm.models import AuthorsLoss

model.loss = dict(type=AuthorsLoss, distance='l1_l2', reconstruction='log')
model.weighting.update(rule='authors')
