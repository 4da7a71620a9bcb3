# DiffusionEdge (Ye et al. 2024), whose numbers are the edge row of Tables III and IV:
# its published weights, after tools/model_converters/authors.py, in its own windows of
# 320 x 320. Its five steps evaluate the network six times (NFE 6).
#
# Whole images: --cfg-options model.test_cfg=None
from mmengine.config import read_base

with read_base():
    from .adm_edge_bsds import *

from mmadm.diffusion import Preconditioner, SplitStepGrid
from mmadm.models import AuthorsLoss, FourierFilter

# The condition goes to Swin in [-1, 1].
model.data_preprocessor.update(mean=(127.5,), std=(127.5,))
model.head.update(gate=dict(type=FourierFilter, size=(10, 10)))
model.preconditioner = dict(type=Preconditioner, scaling='diffusion_edge')
model.weighting.update(rule='diffusion_edge')
model.loss = dict(
    type=AuthorsLoss, distance='l1_l2', reduction='mean', reconstruction='square'
)
model.sampler.update(num_steps=6, grid=dict(type=SplitStepGrid))
model.test_cfg = dict(mode='slide_chains', crop=320, stride=240, blend='mean')
