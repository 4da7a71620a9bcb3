# 4x super-resolution of DIV2K (Table I): crops of 512 x 512 for training,
# the 100 whole validation images for the test, scored as in Table III: RGB, no border
# left out.
#
# The condition is reduced with MATLAB's bicubic filter, as the low-resolution images of
# DIV2K are; the authors use Pillow (kernel='pillow'). tools/dataset_converters/div2k.py
# creates the sub-images for training. Validation uses the centre of some images.
from mmcv.transforms import CenterCrop, RandomFlip
from mmengine.dataset import DefaultSampler, pseudo_collate

from mmadm.datasets import ImageDataset, SeededInfiniteSampler
from mmadm.datasets.transforms import (
    BicubicCondition,
    CropToMultiple,
    LoadImages,
    PackDiffusionInputs,
    RandomCrop,
)
from mmadm.evaluation import ImageFidelity

train_dataloader = dict(
    batch_size=12,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type=SeededInfiniteSampler),
    collate_fn=dict(type=pseudo_collate),
    dataset=dict(
        type=ImageDataset,
        data_root='data/DIV2K',
        data_prefix=dict(img_path='DIV2K_train_HR_sub'),
        pipeline=[
            dict(type=LoadImages),
            dict(type=RandomCrop, size=512),
            dict(type=RandomFlip, prob=0.5),
            dict(type=BicubicCondition, scale=4, kernel='matlab'),
            dict(type=PackDiffusionInputs, condition='condition'),
        ],
    ),
)
val_dataloader = dict(
    batch_size=4,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type=DefaultSampler, shuffle=False),
    collate_fn=dict(type=pseudo_collate),
    dataset=dict(
        type=ImageDataset,
        data_root='data/DIV2K',
        data_prefix=dict(img_path='DIV2K_valid_HR'),
        indices=20,
        test_mode=True,
        pipeline=[
            dict(type=LoadImages),
            dict(type=CenterCrop, crop_size=512),
            dict(type=BicubicCondition, scale=4, kernel='matlab'),
            dict(type=PackDiffusionInputs, condition='condition'),
        ],
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type=DefaultSampler, shuffle=False),
    collate_fn=dict(type=pseudo_collate),
    dataset=dict(
        type=ImageDataset,
        data_root='data/DIV2K',
        data_prefix=dict(img_path='DIV2K_valid_HR'),
        test_mode=True,
        pipeline=[
            dict(type=LoadImages),
            dict(type=CropToMultiple, divisor=4),
            dict(type=BicubicCondition, scale=4, kernel='matlab'),
            dict(type=PackDiffusionInputs, condition='condition'),
        ],
    ),
)
val_evaluator = dict(type=ImageFidelity, baseline='bicubic')
test_evaluator = [
    dict(type=ImageFidelity, baseline='bicubic'),
    dict(type=ImageFidelity, color='y', crop_border=4, baseline='bicubic'),
]
