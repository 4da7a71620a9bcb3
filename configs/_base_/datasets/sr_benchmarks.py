# 4x super-resolution of Set5 in the classical protocol: luma, without 4 pixels of the
# border. For tests only.
#
# Set14: test_dataloader.dataset.data_prefix.img_path=Set14/HR
# B100, the part val of BSDS500: test_dataloader.dataset.data_root=data/BSDS500/data and
# test_dataloader.dataset.data_prefix.img_path=images/val
# DIV2K: test_dataloader.dataset.data_root=data/DIV2K and
# test_dataloader.dataset.data_prefix.img_path=DIV2K_valid_HR
from mmengine.dataset import DefaultSampler, pseudo_collate

from mmadm.datasets import ImageDataset
from mmadm.datasets.transforms import (
    BicubicCondition,
    CropToMultiple,
    LoadImages,
    PackDiffusionInputs,
)
from mmadm.evaluation import ImageFidelity

test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type=DefaultSampler, shuffle=False),
    collate_fn=dict(type=pseudo_collate),
    dataset=dict(
        type=ImageDataset,
        data_root='data/SR_benchmark',
        data_prefix=dict(img_path='Set5/HR'),
        test_mode=True,
        pipeline=[
            dict(type=LoadImages),
            dict(type=CropToMultiple, divisor=4),
            dict(type=BicubicCondition, scale=4, kernel='matlab'),
            dict(type=PackDiffusionInputs, condition='condition'),
        ],
    ),
)
test_evaluator = dict(type=ImageFidelity, color='y', crop_border=4, baseline='bicubic')
