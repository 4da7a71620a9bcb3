# adm_faces_small with a sampler of three or five steps that was fitted to it:
# tools/analysis_tools/fit_sampler.py adm_faces_small --number 16 --iterations 100.
from mmengine.config import read_base

with read_base():
    from .adm_faces_small import *

from mmadm.diffusion import FittedSampler

model.sampler = dict(
    type=FittedSampler,
    tables=[
        dict(
            times=[1.0, 2 / 3, 1 / 3],
            phi=[[], [-0.973386], [-0.565026, -0.717129]],
            eps=[[], [0.135839], [-0.666379, -0.709499]],
            mix=[-0.042382, 0.797142, 0.428097],
        ),
        dict(
            times=[1.0, 0.8, 0.6, 0.4, 0.2],
            phi=[
                [],
                [-0.836486],
                [-0.109777, -0.601288],
                [-0.138491, -0.12861],
                [-0.063678, -0.083268],
            ],
            eps=[
                [],
                [0.614112],
                [-0.936144, -0.331418],
                [-0.402522, -0.461254],
                [-0.096601, 0.058618],
            ],
            mix=[0.032668, 0.802832, 0.274925, 0.083971, 0.057144],
        ),
    ],
    clip=1.0,
)
