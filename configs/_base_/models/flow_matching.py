# Rectified flow in place of ADM: the constant attenuation with b(t) = t, the squared
# error of the velocity, logit-normal times, Euler steps of equal size. Configs put
# these parts into their model and delete the name.
from mmadm.diffusion import (
    ADMProcess,
    ADMSampler,
    EqualStepGrid,
    LinearNoise,
    LogitNormalTimes,
    TimeWeighting,
)

flow_matching = dict(
    process=dict(
        type=ADMProcess,
        noise=dict(type=LinearNoise),
        t_min=1e-3,
        times=dict(type=LogitNormalTimes),
    ),
    weighting=dict(type=TimeWeighting, rule='flow_matching'),
    sampler=dict(
        type=ADMSampler,
        num_steps=50,
        grid=dict(type=EqualStepGrid),
        eta=0.0,
        correct=False,
    ),
)
