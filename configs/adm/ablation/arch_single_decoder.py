# Table II, row "ADM (ours)", column "Param": 90M. One decoder; eps is solved from x_t.
from mmengine.config import read_base

with read_base():
    from ..adm_uncond_cifar10 import *

from mmadm.models import SingleDecoderUNet

model.head.update(type=SingleDecoderUNet, out_channels=3)
model.preconditioner.update(predicts='phi')
