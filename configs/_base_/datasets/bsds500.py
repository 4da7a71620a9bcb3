# Edges on BSDS500 (Table I): the augmented pairs of train and val, windows of 320 x 320
# for training; the 200 test images at their own size, scored against every annotator.
#
# tools/dataset_converters/bsds500.py creates the augmented pairs; the test reads the
# official files. Validation scores some test images, as is usual for BSDS500: train and
# val are both used for training.
from mmcv.transforms import RandomFlip
from mmengine.dataset import DefaultSampler, pseudo_collate

from mmadm.datasets import ImageDataset, SeededInfiniteSampler
from mmadm.datasets.transforms import (
    LoadBoundaries,
    LoadImages,
    PackDiffusionInputs,
    RandomResizedCrop,
    SaturateEdges,
)
from mmadm.evaluation import EdgeMetric

train_dataloader = dict(
    batch_size=16,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type=SeededInfiniteSampler),
    collate_fn=dict(type=pseudo_collate),
    dataset=dict(
        type=ImageDataset,
        data_root='data/BSDS500/data/augmented',
        data_prefix=dict(img_path='images', seg_map_path='edges'),
        pipeline=[
            dict(type=LoadImages),
            dict(type=SaturateEdges),
            dict(type=RandomResizedCrop, size=(320, 320)),
            dict(type=RandomFlip, prob=0.5),
            dict(type=PackDiffusionInputs, image='gt_seg_map', condition='img'),
        ],
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type=DefaultSampler, shuffle=False),
    collate_fn=dict(type=pseudo_collate),
    dataset=dict(
        type=ImageDataset,
        data_root='data/BSDS500/data',
        data_prefix=dict(img_path='images/test', edges_path='groundTruth/test'),
        indices=20,
        test_mode=True,
        pipeline=[
            dict(type=LoadImages),
            dict(type=LoadBoundaries),
            dict(type=PackDiffusionInputs, image='gt_seg_map', condition='img'),
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
        data_root='data/BSDS500/data',
        data_prefix=dict(img_path='images/test', edges_path='groundTruth/test'),
        test_mode=True,
        pipeline=[
            dict(type=LoadImages),
            dict(type=LoadBoundaries),
            dict(type=PackDiffusionInputs, image='gt_seg_map', condition='img'),
        ],
    ),
)
val_evaluator = dict(type=EdgeMetric)
test_evaluator = dict(type=EdgeMetric)
