# Not in the paper: rectified flow (Liu et al., 2023; Esser et al., 2024).
from mmengine.config import read_base

with read_base():
    from ..adm_uncond_cifar10 import *
    from ..._base_.models.flow_matching import *

from mmadm.models import SingleDecoderUNet

model.process = flow_matching.process
model.weighting = flow_matching.weighting
model.sampler = flow_matching.sampler
model.head.update(type=SingleDecoderUNet, out_channels=3)
model.preconditioner.update(scaling='input_only', predicts='velocity')
model.sampler.update(clip=1.0)
del flow_matching
