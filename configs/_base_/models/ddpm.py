# DDPM in place of ADM (Tables II, IV and VI): VP process, noise prediction,
# Euler-Maruyama steps. Configs put these parts into their model and delete the name.
from mmadm.diffusion import EulerMaruyamaSampler, NoiseOnlyWeighting, VPProcess

ddpm = dict(
    process=dict(type=VPProcess, t_min=1e-3),
    weighting=dict(type=NoiseOnlyWeighting),
    sampler=dict(type=EulerMaruyamaSampler, num_steps=10),
)
