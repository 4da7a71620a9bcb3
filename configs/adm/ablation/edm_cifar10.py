# Table II, row "EDM", CIFAR-10, with its own sampler; the paper's is --sampler
# euler_maruyama.
from mmengine.config import read_base

with read_base():
    from ..adm_uncond_cifar10 import *
    from ..._base_.models.edm import *

from mmadm.models import SingleDecoderUNet

model.process = edm.process
model.weighting = edm.weighting
model.sampler = edm.sampler
model.head.update(type=SingleDecoderUNet, out_channels=3)
model.preconditioner.update(scaling='edm', predicts='phi')
model.sampler.update(clip=1.0)
del edm
