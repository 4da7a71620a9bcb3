# Photographs for 4x super-resolution at small size: BSDS500 (train and test; its part
# val is B100, which the model is tested on), DUTS and DIV2K, as they are.
from mmcv.transforms import RandomFlip
from mmengine.dataset import pseudo_collate

from mmadm.datasets import ImageDataset, JoinedDataset, SeededInfiniteSampler
from mmadm.datasets.transforms import (
    BicubicCondition,
    LoadImages,
    PackDiffusionInputs,
    RandomCrop,
)

train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    sampler=dict(type=SeededInfiniteSampler),
    collate_fn=dict(type=pseudo_collate),
    dataset=dict(
        type=JoinedDataset,
        parts=[
            dict(type=ImageDataset, data_root='data/BSDS500/data/images/train'),
            dict(type=ImageDataset, data_root='data/BSDS500/data/images/test'),
            dict(type=ImageDataset, data_root='data/DUTS/DUTS-TR/DUTS-TR-Image'),
            dict(type=ImageDataset, data_root='data/DIV2K/DIV2K_train_HR'),
        ],
        pipeline=[
            dict(type=LoadImages, cache=True),
            dict(type=RandomCrop, size=96),
            dict(
                type=RandomFlip,
                prob=[0.25, 0.25, 0.25],
                direction=['horizontal', 'vertical', 'diagonal'],
            ),
            dict(type=BicubicCondition, scale=4, kernel='matlab'),
            dict(type=PackDiffusionInputs, condition='condition'),
        ],
    ),
)
