# Table IV, row "DDPM", at the demo's size: its task with DDPM's process and noise
# prediction, by Euler-Maruyama; with `tools/test.py --sampler deterministic` by DDIM.
from mmengine.config import read_base

with read_base():
    from .adm_sr_demo import *

from mmadm.diffusion import (
    EulerMaruyamaSampler,
    NoiseOnlyWeighting,
    VPProcess,
)
from mmadm.models import SingleDecoderUNet

model.process = dict(type=VPProcess, t_min=1e-3)
model.head.update(type=SingleDecoderUNet, out_channels=48)
model.preconditioner.update(predicts='eps')
model.weighting = dict(type=NoiseOnlyWeighting)
model.sampler = dict(type=EulerMaruyamaSampler, num_steps=10)
