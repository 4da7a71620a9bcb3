# Images for a first stage. The config of the task sets the folder and the crop.
from mmcv.transforms import RandomFlip
from mmengine.dataset import DefaultSampler, pseudo_collate

from mmadm.datasets import ImageDataset, SeededInfiniteSampler
from mmadm.datasets.transforms import LoadImages, PackDiffusionInputs
from mmadm.evaluation import ImageFidelity

train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type=SeededInfiniteSampler),
    collate_fn=dict(type=pseudo_collate),
    dataset=dict(
        type=ImageDataset,
        pipeline=[
            dict(type=LoadImages),
            dict(type=RandomFlip, prob=0.5),
            dict(type=PackDiffusionInputs),
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
        test_mode=True,
        pipeline=[
            dict(type=LoadImages),
            dict(type=PackDiffusionInputs),
        ],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type=ImageFidelity)
test_evaluator = val_evaluator
