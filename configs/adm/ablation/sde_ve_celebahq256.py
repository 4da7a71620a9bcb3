# Table II, row "SDE" (Song et al., 2021), CelebA-HQ-256: as sde_ve_cifar10.py, with
# the largest noise of the images of 256 x 256. 4 x 4 pixels are the channels of one
# position, so that the head has the size of that in latents.
from mmengine.config import read_base

with read_base():
    from ..adm_uncond_celebahq256 import *

from mmadm.diffusion import (
    ADMProcess,
    ExponentialNoise,
    NoAttenuation,
    NoiseOnlyWeighting,
    PredictorCorrectorSampler,
)
from mmadm.models import NCSNppUNet, PixelStage

model.first_stage = dict(type=PixelStage, patch=4)
model.process = dict(
    type=ADMProcess,
    attenuation=dict(type=NoAttenuation),
    noise=dict(type=ExponentialNoise, std_1=348.0),
    t_min=1e-5,
)
model.weighting = dict(type=NoiseOnlyWeighting)
model.head.update(type=NCSNppUNet, in_channels=48, out_channels=(48,))
model.preconditioner.update(scaling='score_sde', predicts='eps')
model.sampler = dict(type=PredictorCorrectorSampler, num_steps=2000, clip=1.0)
