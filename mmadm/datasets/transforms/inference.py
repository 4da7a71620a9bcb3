"""What takes the place of transforms where there is no truth."""

import numpy as np
from mmcv.transforms import BaseTransform

from mmadm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class InferenceCondition(BaseTransform):
    """The picture is not the truth, but already what the truth would be reduced to.

    Required keys: ``img``. Added keys: ``condition``, the picture; ``img``, black, of
    the answer's size.

    Args:
        scale: how many pixels of the answer there are for one of the picture, in each
            direction.
    """

    def __init__(self, scale: int) -> None:
        self.scale = scale

    def transform(self, results: dict) -> dict:
        """Exchange the two."""
        picture = results['condition'] = results['img']
        height, width, channels = picture.shape
        size = (height * self.scale, width * self.scale, channels)
        results['img'] = np.zeros(size, np.uint8)
        return results


@TRANSFORMS.register_module()
class InferenceMask(BaseTransform):
    """The hole is the user's.

    Required keys: ``img``; ``mask`` (H, W), bool. Changed keys: ``mask`` (H, W, 1),
    uint8, 1 = hole.
    """

    def transform(self, results: dict) -> dict:
        """Look at the mask.

        Raises:
            ValueError: there is none, or it has not the picture's size.
        """
        name, size = results['name'], results['img'].shape[:2]
        if 'mask' not in results:
            raise ValueError(
                f'This model fills holes, but there is no mask for the image {name}. '
                'Give a mask of its size, white where the hole is.'
            )
        mask = results['mask']
        if mask.shape != size:
            raise ValueError(
                f'Picture and mask of different size: {name} is {size[0]}x{size[1]}, '
                f'its mask is {"x".join(map(str, mask.shape))}. Draw the mask for this '
                'picture.'
            )
        results['mask'] = mask.astype(np.uint8)[..., None]
        return results
