# CelebA-HQ-256 by one decoder, eps solved from x_t: 57.68M parameters, with the first
# stage and its losses the 130M of Table II.
from mmengine.config import read_base

with read_base():
    from ..adm_uncond_celebahq256 import *

from mmadm.models import SingleDecoderUNet

model.head.update(type=SingleDecoderUNet, out_channels=3)
model.preconditioner.update(predicts='phi')
