# Table VI, row "with AIA": the process of the paper, noise prediction only.
from mmengine.config import read_base

with read_base():
    from ..adm_uncond_cifar10 import *

from mmadm.diffusion import NoiseOnlyWeighting, NoisePreconditioner
from mmadm.models import SingleDecoderUNet

model.head.update(type=SingleDecoderUNet, out_channels=3)
model.preconditioner.update(type=NoisePreconditioner)
model.weighting = dict(type=NoiseOnlyWeighting)
