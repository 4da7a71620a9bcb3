# Saliency on DUTS (Table I): 10,553 pairs for training, 5,019 for the test, all at
# 384 x 384 for the network. Masks keep their size in the test: predictions are enlarged
# to it and scored as grey maps; the authors' script scores binary maps at 384 x 384
# (bin384).
#
# tools/dataset_converters/duts.py checks the pairs. Validation scores the first 200.
from mmcv.transforms import RandomFlip
from mmengine.dataset import DefaultSampler, pseudo_collate

from mmadm.datasets import ImageDataset, SeededInfiniteSampler
from mmadm.datasets.transforms import (
    LoadImages,
    PackDiffusionInputs,
    ResizeInput,
    ResizeTo,
)
from mmadm.evaluation import SaliencyMetric

train_dataloader = dict(
    batch_size=16,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type=SeededInfiniteSampler),
    collate_fn=dict(type=pseudo_collate),
    dataset=dict(
        type=ImageDataset,
        data_root='data/DUTS/DUTS-TR',
        data_prefix=dict(img_path='DUTS-TR-Image', seg_map_path='DUTS-TR-Mask'),
        pipeline=[
            dict(type=LoadImages),
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
        type=ImageDataset,
        data_root='data/DUTS/DUTS-TE',
        data_prefix=dict(img_path='DUTS-TE-Image', seg_map_path='DUTS-TE-Mask'),
        indices=200,
        test_mode=True,
        pipeline=[
            dict(type=LoadImages),
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
        type=ImageDataset,
        data_root='data/DUTS/DUTS-TE',
        data_prefix=dict(img_path='DUTS-TE-Image', seg_map_path='DUTS-TE-Mask'),
        test_mode=True,
        pipeline=[
            dict(type=LoadImages),
            dict(type=ResizeInput, size=(384, 384)),
            dict(type=PackDiffusionInputs, image='gt_seg_map', condition='img'),
        ],
    ),
)
val_evaluator = dict(type=SaliencyMetric, measures=('mae', 'f'))
test_evaluator = [
    dict(type=SaliencyMetric),
    dict(type=SaliencyMetric, measures=('mae', 'f', 's'), protocol='bin384'),
]
