# Edges on BSDS500 at small size: the 300 images of train and val with the annotators'
# files as they are, windows of 224 x 224, flips. Validation and test as for bsds500.py.
from mmcv.transforms import RandomFlip
from mmengine.dataset import pseudo_collate

from mmadm.datasets import ImageDataset, JoinedDataset, SeededInfiniteSampler
from mmadm.datasets.transforms import (
    LoadBoundaries,
    LoadImages,
    PackDiffusionInputs,
    RandomCrop,
    SaturateEdges,
)

train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type=SeededInfiniteSampler),
    collate_fn=dict(type=pseudo_collate),
    dataset=dict(
        type=JoinedDataset,
        parts=[
            dict(
                type=ImageDataset,
                data_root='data/BSDS500/data',
                data_prefix=dict(
                    img_path=f'images/{part}', edges_path=f'groundTruth/{part}'
                ),
            )
            for part in ('train', 'val')
        ],
        pipeline=[
            dict(type=LoadImages, cache=True),
            dict(type=LoadBoundaries),
            dict(type=SaturateEdges),
            dict(type=RandomCrop, size=224),
            dict(
                type=RandomFlip,
                prob=[0.4, 0.1, 0.1],
                direction=['horizontal', 'vertical', 'diagonal'],
            ),
            dict(type=PackDiffusionInputs, image='gt_seg_map', condition='img'),
        ],
    ),
)
