# Super-resolution with the lean conditional head: the unconditional U-Net's blocks, the
# condition's features concatenated at equal levels. For new models without old weights.
#
# As wide at each resolution as the authors' head, whose multipliers name the width
# behind a level: benchmarks/heads.py.
from mmengine.config import read_base

with read_base():
    from ..adm_sr_div2k import *

from mmadm.models import ConcatFusion, DualDecoderUNet

model.head = dict(
    type=DualDecoderUNet,
    in_channels=3,
    out_channels=(3, 3),
    base_channels=128,
    channel_mult=(1, 1, 2, 4),
    num_blocks=2,
    attention_levels=(3,),
    condition_channels=(128, 256, 512, 1024),
    fusion=dict(type=ConcatFusion),
)
