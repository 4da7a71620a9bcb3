# EDM (Karras et al., 2022) in place of ADM (Table II): x_t = x0 + 80 t eps, log-normal
# noise levels, Heun's method. Configs put these parts into their model and delete the
# name. The two terms of the loss are equal, and each is EDM's loss.
from mmadm.diffusion import (
    ADMProcess,
    HeunSampler,
    LinearNoise,
    LogNormalTimes,
    NoAttenuation,
    OptimalWeighting,
    RhoGrid,
)

edm = dict(
    process=dict(
        type=ADMProcess,
        attenuation=dict(type=NoAttenuation),
        noise=dict(type=LinearNoise, std_1=80.0),
        t_min=2.5e-5,
        times=dict(type=LogNormalTimes),
    ),
    weighting=dict(type=OptimalWeighting, cap=1e6),
    sampler=dict(type=HeunSampler, num_steps=35, grid=dict(type=RhoGrid)),
)
