# CIFAR-10 (Sec. V-A): 50,000 images for training, seeds for sampling.
#
# Validation generates a few images for the log, without scores. The test computes the
# score of the paper, the FID of 50,000 samples. Its two files are described in
# docs/en/user_guides/evaluation_fid.md; training does not need them.
from mmcv.transforms import RandomFlip
from mmengine.dataset import DefaultSampler, pseudo_collate

from mmadm.datasets import CIFAR10Images, SeedDataset, SeededInfiniteSampler
from mmadm.datasets.transforms import PackDiffusionInputs
from mmadm.evaluation import InceptionMetrics

train_dataloader = dict(
    batch_size=128,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type=SeededInfiniteSampler),
    collate_fn=dict(type=pseudo_collate),
    dataset=dict(
        type=CIFAR10Images,
        data_root='data/cifar10',
        pipeline=[
            dict(type=RandomFlip, prob=0.5),
            dict(type=PackDiffusionInputs),
        ],
    ),
)
val_dataloader = dict(
    batch_size=16,
    num_workers=0,
    sampler=dict(type=DefaultSampler, shuffle=False),
    collate_fn=dict(type=pseudo_collate),
    dataset=dict(type=SeedDataset, num_samples=16),
)
test_dataloader = dict(
    batch_size=500,
    num_workers=0,
    sampler=dict(type=DefaultSampler, shuffle=False),
    collate_fn=dict(type=pseudo_collate),
    dataset=dict(type=SeedDataset, num_samples=50000, target_shape=(32, 32)),
)
val_evaluator = []
test_evaluator = dict(
    type=InceptionMetrics,
    measures=('fid', 'is'),
    reference='data/statistics/cifar10_train.npz',
    reference_count=50000,
)
