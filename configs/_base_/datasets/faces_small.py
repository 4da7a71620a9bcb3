# Faces of CelebA-HQ at 64 x 64: 4,971 images to train; samples are compared with the
# 200 test images.
from mmcv.transforms import RandomFlip
from mmengine.dataset import DefaultSampler, pseudo_collate

from mmadm.datasets import ImageDataset, SeedDataset, SeededInfiniteSampler
from mmadm.datasets.transforms import LoadImages, PackDiffusionInputs, ResizeTo
from mmadm.evaluation import FrechetDistance

train_dataloader = dict(
    batch_size=32,
    num_workers=0,
    sampler=dict(type=SeededInfiniteSampler),
    collate_fn=dict(type=pseudo_collate),
    dataset=dict(
        type=ImageDataset,
        data_root='data/celeba_hq_128',
        pipeline=[
            dict(type=LoadImages, cache=True),
            dict(type=ResizeTo, size=(64, 64)),
            dict(type=RandomFlip, prob=0.5),
            dict(type=PackDiffusionInputs),
        ],
    ),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=0,
    sampler=dict(type=DefaultSampler, shuffle=False),
    collate_fn=dict(type=pseudo_collate),
    dataset=dict(type=SeedDataset, num_samples=64, target_shape=(64, 64)),
)
test_dataloader = dict(
    batch_size=100,
    num_workers=0,
    sampler=dict(type=DefaultSampler, shuffle=False),
    collate_fn=dict(type=pseudo_collate),
    dataset=dict(type=SeedDataset, num_samples=1000, target_shape=(64, 64)),
)
val_evaluator = []
_real = dict(reference='data/celeba_hq/test', reference_size=64)
# Over features of SqueezeNet, and over those of a model in the box.
test_evaluator = [
    dict(
        type=FrechetDistance,
        weights='data/weights/squeezenet_v1.1_imagenet_fp16.npz',
        **_real,
    ),
    dict(type=FrechetDistance, network='adm_edge_small', **_real),
]
