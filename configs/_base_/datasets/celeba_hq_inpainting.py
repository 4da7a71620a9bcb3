# Inpainting of CelebA-HQ at 256 x 256 (Table I): LaMa's split, 26,000 images for
# training, 2,000 for the test. Training uses the authors' masks, the test LaMa's medium
# masks, drawn once and stored in a file.
#
# tools/dataset_converters/celeba_hq.py --split lama creates images and lists,
# tools/dataset_converters/inpainting_masks.py the files of masks.
from mmcv.transforms import CenterCrop, RandomFlip
from mmengine.dataset import DefaultSampler, pseudo_collate

from mmadm.datasets import ImageDataset, SeededInfiniteSampler
from mmadm.datasets.transforms import (
    FixedMask,
    LoadImages,
    MaskedCondition,
    PackDiffusionInputs,
    RandomMask,
)
from mmadm.evaluation import ImageFidelity, InceptionMetrics

train_dataloader = dict(
    batch_size=48,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type=SeededInfiniteSampler),
    collate_fn=dict(type=pseudo_collate),
    dataset=dict(
        type=ImageDataset,
        data_root='data/celeba_hq',
        data_prefix=dict(img_path='images'),
        ann_file='splits/lama_train.txt',
        pipeline=[
            dict(type=LoadImages),
            dict(type=CenterCrop, crop_size=256),
            dict(type=RandomFlip, prob=0.5),
            dict(type=RandomMask, kind='free_form'),
            dict(type=MaskedCondition),
            dict(type=PackDiffusionInputs, condition='condition'),
        ],
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type=DefaultSampler, shuffle=False),
    collate_fn=dict(type=pseudo_collate),
    dataset=dict(
        type=ImageDataset,
        data_root='data/celeba_hq',
        data_prefix=dict(img_path='images'),
        ann_file='splits/lama_val.txt',
        indices=64,
        test_mode=True,
        pipeline=[
            dict(type=LoadImages),
            dict(type=FixedMask, ann_file='data/celeba_hq/masks/lama_val_medium.json'),
            dict(type=MaskedCondition),
            dict(type=PackDiffusionInputs, condition='condition'),
        ],
    ),
)
test_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type=DefaultSampler, shuffle=False),
    collate_fn=dict(type=pseudo_collate),
    dataset=dict(
        type=ImageDataset,
        data_root='data/celeba_hq',
        data_prefix=dict(img_path='images'),
        ann_file='splits/lama_test.txt',
        test_mode=True,
        pipeline=[
            dict(type=LoadImages),
            dict(type=FixedMask, ann_file='data/celeba_hq/masks/lama_test_medium.json'),
            dict(type=MaskedCondition),
            dict(type=PackDiffusionInputs, condition='condition'),
        ],
    ),
)
val_evaluator = dict(type=ImageFidelity)
# The paper does not say which of the two distances its 5.25 is.
test_evaluator = [
    dict(
        type=InceptionMetrics,
        measures=('fid_paired', 'fid_full'),
        reference='data/statistics/celeba_hq_256.npz',
        reference_count=30000,
    ),
    dict(type=ImageFidelity),
]
