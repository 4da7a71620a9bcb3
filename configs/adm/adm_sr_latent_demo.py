# Latent diffusion in minutes without training a first stage: the super-resolution demo
# on the latents of TAEF2. Its two files, taef2_encoder.pth and taef2_decoder.pth (5 MB,
# MIT licence), are in github.com/madebyollin/taesd.
from mmengine.config import read_base

with read_base():
    from .adm_sr_demo import *

from mmadm.models import TinyAutoencoderStage

# 8x8 pixels become 32 numbers of about unit deviation.
model.data_preprocessor.update(size_divisor=8)
model.first_stage = dict(
    type=TinyAutoencoderStage,
    encoder='data/weights/taef2_encoder.pth',
    decoder='data/weights/taef2_decoder.pth',
)
model.head.update(in_channels=32, out_channels=(32, 32))
model.preconditioner.update(sigma_data=1.0)
model.process.update(t_min=1e-4)
