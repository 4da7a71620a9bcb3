# Table IV, row "DDPM", at the demo's size: its task with DDPM's process and noise
# prediction, by Euler-Maruyama; with `tools/test.py --sampler deterministic` by DDIM.
from mmengine.config import read_base

with read_base():
    from .adm_sr_demo import *
    from .._base_.models.ddpm import *

from mmadm.models import SingleDecoderUNet

model.process = ddpm.process
model.weighting = ddpm.weighting
model.sampler = ddpm.sampler
model.head.update(type=SingleDecoderUNet, out_channels=48)
model.preconditioner.update(predicts='eps')
del ddpm
