# Super-resolution of the photographs in scikit-image's wheel; some are held out.
from mmcv.transforms import RandomFlip
from mmengine.dataset import DefaultSampler, pseudo_collate

from mmadm.datasets import ScikitImagePhotos, SeededInfiniteSampler
from mmadm.datasets.transforms import (
    BicubicCondition,
    CropToMultiple,
    LoadImages,
    PackDiffusionInputs,
    RandomCrop,
)
from mmadm.evaluation import ImageFidelity

train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type=SeededInfiniteSampler),
    collate_fn=dict(type=pseudo_collate),
    dataset=dict(
        type=ScikitImagePhotos,
        names=(
            'astronaut',
            'brick',
            'camera',
            'grass',
            'gravel',
            'hubble_deep_field',
            'ihc',
            'motorcycle_left',
            'motorcycle_right',
            'retina',
        ),
        pipeline=[
            dict(type=LoadImages, cache=True),
            dict(type=RandomCrop, size=64),
            dict(type=RandomFlip, prob=0.5),
            dict(type=BicubicCondition, scale=4),
            dict(type=PackDiffusionInputs, condition='condition'),
        ],
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type=DefaultSampler, shuffle=False),
    collate_fn=dict(type=pseudo_collate),
    dataset=dict(
        type=ScikitImagePhotos,
        names=('chelsea', 'coffee', 'rocket'),
        test_mode=True,
        pipeline=[
            dict(type=LoadImages),
            dict(type=CropToMultiple, divisor=4),
            dict(type=BicubicCondition, scale=4),
            dict(type=PackDiffusionInputs, condition='condition'),
        ],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type=ImageFidelity, baseline='bicubic')
test_evaluator = val_evaluator
