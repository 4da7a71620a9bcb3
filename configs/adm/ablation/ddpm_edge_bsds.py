# Table IV, row "DDPM", ODS on BSDS500: the task of ../adm_edge_bsds.py
# with DDPM's process and noise prediction, by Euler-Maruyama.
from mmengine.config import read_base

with read_base():
    from ..adm_edge_bsds import *

from mmadm.diffusion import (
    EulerMaruyamaSampler,
    NoiseOnlyWeighting,
    VPProcess,
)
from mmadm.models import SingleDecoderRelationUNet

model.process = dict(type=VPProcess, t_min=1e-3)
model.head.update(type=SingleDecoderRelationUNet, out_channels=3)
model.preconditioner.update(predicts='eps')
model.weighting = dict(type=NoiseOnlyWeighting)
model.sampler = dict(type=EulerMaruyamaSampler, num_steps=10)
