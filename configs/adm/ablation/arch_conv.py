# Table V, architecture, row "U-Net+conv" (FID 12.63).
from mmengine.config import read_base

with read_base():
    from ..adm_uncond_cifar10 import *

from mmadm.models import ConvBranchUNet

model.head.update(type=ConvBranchUNet)
