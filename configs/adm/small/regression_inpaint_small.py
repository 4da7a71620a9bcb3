# Plain regression beside adm_inpaint_small: the same encoder and network, trained at
# t = 1 only, where they see the condition and nothing of the image; one prediction.
from mmengine.config import read_base

with read_base():
    from .adm_inpaint_small import *

model.process.update(time_power=0.0)
model.sampler.update(num_steps=1)
# At t = 1 the noise decoder has no effect and is not computed.
find_unused_parameters = True
