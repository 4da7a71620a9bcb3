# CelebA-HQ at 256 x 256 (Table I, "Unconditional generation"): 30,000 images for
# training, seeds for sampling. tools/dataset_converters/celeba_hq.py writes the images.
#
# Validation generates a few images for the log, without scores. The test computes the
# score of the paper, the FID of 30,000 samples against all 30,000 images.
from mmcv.transforms import RandomFlip
from mmengine.dataset import DefaultSampler, pseudo_collate

from mmadm.datasets import ImageDataset, SeedDataset, SeededInfiniteSampler
from mmadm.datasets.transforms import (
    LoadImages,
    PackDiffusionInputs,
)
from mmadm.evaluation import InceptionMetrics

train_dataloader = dict(
    batch_size=48,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type=SeededInfiniteSampler),
    collate_fn=dict(type=pseudo_collate),
    dataset=dict(
        type=ImageDataset,
        data_root='data/celeba_hq/images',
        pipeline=[
            dict(type=LoadImages),
            dict(type=RandomFlip, prob=0.5),
            dict(type=PackDiffusionInputs),
        ],
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type=DefaultSampler, shuffle=False),
    collate_fn=dict(type=pseudo_collate),
    dataset=dict(type=SeedDataset, num_samples=8, target_shape=(256, 256)),
)
test_dataloader = dict(
    batch_size=50,
    num_workers=0,
    sampler=dict(type=DefaultSampler, shuffle=False),
    collate_fn=dict(type=pseudo_collate),
    dataset=dict(type=SeedDataset, num_samples=30000, target_shape=(256, 256)),
)
val_evaluator = []
test_evaluator = dict(
    type=InceptionMetrics,
    measures=('fid',),
    reference='data/statistics/celeba_hq_256.npz',
    reference_count=30000,
)
