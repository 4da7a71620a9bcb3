# Folders of images and maps, which are paired by name: the map is generated.
from mmcv.transforms import RandomFlip
from mmengine.dataset import DefaultSampler, pseudo_collate

from mmadm.datasets import ImageDataset, SeededInfiniteSampler
from mmadm.datasets.transforms import LoadImages, PackDiffusionInputs, RandomCrop
from mmadm.evaluation import ImageFidelity

train_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type=SeededInfiniteSampler),
    collate_fn=dict(type=pseudo_collate),
    dataset=dict(
        type=ImageDataset,
        data_root='data/pairs/train',
        data_prefix=dict(img_path='images', seg_map_path='maps'),
        pipeline=[
            dict(type=LoadImages),
            dict(type=RandomCrop, size=128),
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
        data_root='data/pairs/val',
        data_prefix=dict(img_path='images', seg_map_path='maps'),
        test_mode=True,
        pipeline=[
            dict(type=LoadImages),
            dict(type=PackDiffusionInputs, image='gt_seg_map', condition='img'),
        ],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type=ImageFidelity, measures=('psnr',))
test_evaluator = val_evaluator
