# Table II, row "DDIM": the DDPM of Table VI, sampled deterministically.
from mmengine.config import read_base

with read_base():
    from .ddpm import *

from mmadm.diffusion import ADMSampler

model.sampler.update(type=ADMSampler, eta=0.0)
