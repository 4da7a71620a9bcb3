# Table II, row "SDE" (Song et al., 2021), CIFAR-10: the variance-exploding process,
# NCSN++, predictor-corrector steps. The paper's sampler is --sampler euler_maruyama;
# --sampler heun solves the probability-flow ODE.
from mmengine.config import read_base

with read_base():
    from ..adm_uncond_cifar10 import *

from mmadm.diffusion import (
    ADMProcess,
    ExponentialNoise,
    NoAttenuation,
    NoiseOnlyWeighting,
    PredictorCorrectorSampler,
)
from mmadm.models import NCSNppUNet

model.process = dict(
    type=ADMProcess,
    attenuation=dict(type=NoAttenuation),
    noise=dict(type=ExponentialNoise),
    t_min=1e-5,
)
model.weighting = dict(type=NoiseOnlyWeighting)
model.head.update(type=NCSNppUNet, out_channels=(3,))
model.preconditioner.update(scaling='score_sde', predicts='eps')
model.sampler = dict(type=PredictorCorrectorSampler, num_steps=2000, clip=1.0)
