# Saliency on DUTS at small size: 4,000 pairs of at most 256 pixels to train, all images
# at 160 x 160 for the network; validation and test as for duts.py.
from mmcv.transforms import RandomFlip
from mmengine.dataset import pseudo_collate

from mmadm.datasets import ImageDataset, SeededInfiniteSampler
from mmadm.datasets.transforms import (
    LoadImages,
    PackDiffusionInputs,
    RandomResizedCrop,
)

train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type=SeededInfiniteSampler),
    collate_fn=dict(type=pseudo_collate),
    dataset=dict(
        type=ImageDataset,
        data_root='data/DUTS_256',
        data_prefix=dict(img_path='DUTS-TR-Image', seg_map_path='DUTS-TR-Mask'),
        pipeline=[
            dict(type=LoadImages, cache=True),
            dict(
                type=RandomResizedCrop,
                size=(160, 160),
                scale=(0.6, 1.0),
                ratio=(0.7, 1.8),
            ),
            dict(type=RandomFlip, prob=0.5),
            dict(type=PackDiffusionInputs, image='gt_seg_map', condition='img'),
        ],
    ),
)
