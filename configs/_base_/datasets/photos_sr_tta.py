# Test-time augmentation for super-resolution: the mean of the predictions
# for the image and for its mirror image.
from mmcv.transforms import RandomFlip, TestTimeAug

from mmadm.datasets.transforms import (
    BicubicCondition,
    CropToMultiple,
    LoadImages,
    PackDiffusionInputs,
)
from mmadm.models import FlipTTA

tta_model = dict(type=FlipTTA)
tta_pipeline = [
    dict(type=LoadImages),
    dict(type=CropToMultiple, divisor=4),
    dict(
        type=TestTimeAug,
        transforms=[
            [dict(type=RandomFlip, prob=0.0), dict(type=RandomFlip, prob=1.0)],
            [dict(type=BicubicCondition, scale=4)],
            [dict(type=PackDiffusionInputs, condition='condition')],
        ],
    ),
]
