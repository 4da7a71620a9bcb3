# Saliency on COCO: the map of an image is the union of its instances. Images
# without instances are left out. Sizes and scores are those of DUTS.
from mmcv.transforms import RandomFlip
from mmengine.dataset import DefaultSampler, pseudo_collate

from mmadm.datasets import CocoSaliency, SeededInfiniteSampler
from mmadm.datasets.transforms import (
    LoadImages,
    PackDiffusionInputs,
    ResizeInput,
    ResizeTo,
    UnionOfInstances,
)
from mmadm.evaluation import SaliencyMetric

train_dataloader = dict(
    batch_size=16,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type=SeededInfiniteSampler),
    collate_fn=dict(type=pseudo_collate),
    dataset=dict(
        type=CocoSaliency,
        data_root='data/coco',
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img_path='train2017'),
        pipeline=[
            dict(type=LoadImages),
            dict(type=UnionOfInstances),
            dict(type=ResizeTo, size=(384, 384)),
            dict(type=RandomFlip, prob=0.5),
            dict(type=PackDiffusionInputs, image='gt_seg_map', condition='img'),
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
        type=CocoSaliency,
        data_root='data/coco',
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img_path='val2017'),
        indices=200,
        test_mode=True,
        pipeline=[
            dict(type=LoadImages),
            dict(type=UnionOfInstances),
            dict(type=ResizeInput, size=(384, 384)),
            dict(type=PackDiffusionInputs, image='gt_seg_map', condition='img'),
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
        type=CocoSaliency,
        data_root='data/coco',
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img_path='val2017'),
        test_mode=True,
        pipeline=[
            dict(type=LoadImages),
            dict(type=UnionOfInstances),
            dict(type=ResizeInput, size=(384, 384)),
            dict(type=PackDiffusionInputs, image='gt_seg_map', condition='img'),
        ],
    ),
)
val_evaluator = dict(type=SaliencyMetric, measures=('mae', 'f'))
test_evaluator = dict(type=SaliencyMetric)
