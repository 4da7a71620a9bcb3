# Inpainting of CelebA-HQ faces at 128 x 128: 4,971 images to train, 200 others to test,
# LaMa's medium masks. The mask is the condition's fourth channel.
from mmcv.transforms import RandomFlip
from mmengine.dataset import DefaultSampler, pseudo_collate

from mmadm.datasets import ImageDataset, SeededInfiniteSampler
from mmadm.datasets.transforms import (
    LoadImages,
    MaskedCondition,
    NamedMask,
    PackDiffusionInputs,
    RandomMask,
    ResizeTo,
)
from mmadm.evaluation import FrechetDistance, ImageFidelity

_weights = 'data/weights/squeezenet_v1.1_imagenet_fp16.npz'

train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    sampler=dict(type=SeededInfiniteSampler),
    collate_fn=dict(type=pseudo_collate),
    dataset=dict(
        type=ImageDataset,
        data_root='data/celeba_hq_128',
        pipeline=[
            dict(type=LoadImages, cache=True),
            dict(type=RandomFlip, prob=0.5),
            dict(type=RandomMask, kind='medium', max_hole=0.5),
            dict(type=MaskedCondition, with_mask=True, fill='telea'),
            dict(type=PackDiffusionInputs, condition='condition'),
        ],
    ),
)
test_dataloader = dict(
    batch_size=20,
    num_workers=0,
    sampler=dict(type=DefaultSampler, shuffle=False),
    collate_fn=dict(type=pseudo_collate),
    dataset=dict(
        type=ImageDataset,
        data_root='data/celeba_hq/test',
        test_mode=True,
        pipeline=[
            dict(type=LoadImages),
            dict(type=ResizeTo, size=(128, 128)),
            dict(type=NamedMask, kind='medium'),
            dict(type=MaskedCondition, with_mask=True, fill='telea'),
            dict(type=PackDiffusionInputs, condition='condition'),
        ],
    ),
)
val_dataloader = test_dataloader
test_evaluator = [
    dict(
        type=ImageFidelity,
        measures=('psnr', 'ssim', 'lpips', 'psnr_hole'),
        lpips_network='squeeze',
        lpips_weights=_weights,
    ),
    dict(type=FrechetDistance, weights=_weights),
    dict(type=FrechetDistance, network='adm_edge_small'),
]
val_evaluator = test_evaluator
