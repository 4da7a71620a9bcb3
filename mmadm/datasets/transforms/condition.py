"""What the model is told about the image."""

from mmcv.transforms import BaseTransform

from mmadm.registry import TRANSFORMS
from mmadm.utils import resize


@TRANSFORMS.register_module()
class BicubicCondition(BaseTransform):
    """Super-resolution: the condition is the image, bicubically reduced.

    With antialiasing, on 8 bits (Pillow's filter, which the authors use).

    Required keys: ``img``. Added keys: ``condition`` (H/scale, W/scale, 3).

    Args:
        scale: how many image pixels become one, in each direction.
    """

    def __init__(self, scale: int = 4) -> None:
        self.scale = scale

    def transform(self, results: dict) -> dict:
        """Add the condition.

        Raises:
            ValueError: the image cannot be divided by the scale.
        """
        height, width = results['img'].shape[:2]
        if height % self.scale or width % self.scale:
            raise ValueError(
                f'An image of {height}x{width} cannot be reduced by {self.scale}: '
                f'{results.get("img_path")}. Put CropToMultiple(divisor={self.scale}) '
                'or a crop of such a size before BicubicCondition.'
            )
        size = (height // self.scale, width // self.scale)
        results['condition'] = resize(results['img'], size, 'bicubic')
        return results
