# Table VI, row "with AIA": the process of the paper, noise prediction only.
from mmengine.config import read_base

with read_base():
    from ..adm_uncond_cifar10 import *

from mmadm.diffusion import NoiseOnlyWeighting
from mmadm.models import SingleDecoderUNet

model.head.update(type=SingleDecoderUNet, out_channels=3)
model.preconditioner.update(predicts='eps')
model.weighting = dict(type=NoiseOnlyWeighting)
