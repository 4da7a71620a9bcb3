# Not in the paper: rectified flow for the task of ../adm_sr_div2k.py.
from mmengine.config import read_base

with read_base():
    from ..adm_sr_div2k import *
    from ..._base_.models.flow_matching import *

from mmadm.models import SingleDecoderRelationUNet

model.process = flow_matching.process
model.weighting = flow_matching.weighting
model.sampler = flow_matching.sampler
model.head.update(type=SingleDecoderRelationUNet, out_channels=3)
model.preconditioner.update(scaling='input_only', predicts='velocity')
del flow_matching
