# Table II, row "SDE" (Song et al., 2021), CIFAR-10: the variance-preserving process,
# NCSN++, predictor-corrector steps; ddpm.py is the same process with the U-Net.
from mmengine.config import read_base

with read_base():
    from .sde_ve_cifar10 import *

from mmadm.diffusion import VPProcess

model.process = dict(type=VPProcess, t_min=1e-3)
