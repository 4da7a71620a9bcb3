"""Visualizer: condition, prediction and ground truth side by side."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.dist import master_only
from mmengine.visualization import Visualizer
from torch import Tensor

from mmadm.registry import VISUALIZERS
from mmadm.structures import DiffusionSample
from mmadm.utils import enlarge, resize

from .images import captioned_row, heat_map, overlay, to_rgb_array, with_holes


def columns(sample: DiffusionSample) -> dict[str, np.ndarray]:
    """Images of a sample by caption, all of the size of the ground truth.

    - A condition that is smaller than the prediction is shown twice: with visible
      pixels, and bicubically enlarged.
    - Next to a prediction, holes of inpainting are striped; without one, the condition
      is shown as the model sees it.
    - A map is also blended over the condition.
    - Of several samples, their standard deviation is a heat map.
    """
    target = tuple(sample.target_shape)
    size = tuple(sample.get('ori_shape', target))
    if 'gt_img' in sample:
        size = tuple(sample.gt_img.shape[-2:])
    shown = {}
    if 'condition' in sample:
        condition = to_rgb_array(sample.condition)
        smaller = condition.shape[:2] != target
        shown['condition'] = resize(
            condition, size, 'nearest' if smaller else 'bicubic'
        )
        if 'mask' in sample and 'pred_img' in sample:
            mask = sample.mask[0].cpu().numpy()
            shown['condition'] = with_holes(shown['condition'], mask)
        if smaller:
            shown['bicubic'] = resize(condition, size, 'bicubic')
    if 'pred_img' in sample:
        shown['prediction'] = resize(to_rgb_array(sample.pred_img), size, 'bilinear')
        if 'condition' in sample and len(sample.pred_img) == 1:
            shown['overlay'] = overlay(shown['condition'], shown['prediction'])
    if 'pred_std' in sample:
        shown['standard deviation'] = draw_std(sample.pred_std, size)
    if 'gt_img' in sample:
        shown['ground truth'] = to_rgb_array(sample.gt_img)
    return shown


def draw_std(std: Tensor, size: Sequence[int]) -> np.ndarray:
    """The standard deviation (1, H, W) of several samples as a heat map.

    Args:
        std: in grey levels.
        size: (H, W) of the map; the colour bar is beside it.
    """
    return heat_map(enlarge(std.cpu(), size)[0].numpy())


@VISUALIZERS.register_module()
class DiffusionVisualizer(Visualizer):
    """MMEngine's visualizer for diffusion samples."""

    @master_only
    def add_datasample(
        self,
        name: str,
        image: np.ndarray | None,
        data_sample: DiffusionSample,
        show: bool = False,
        wait_time: float = 0,
        out_file: str | None = None,
        step: int = 0,
    ) -> None:
        """Draw one sample: condition | prediction | ground truth.

        Args:
            name: window title, or name of the image in the log.
            image: not used, all images are in the sample.
            data_sample: the sample.
            show: open a window.
            wait_time: seconds until the window closes, 0 until a key is pressed.
            out_file: PNG file to write instead of logging the image.
            step: iteration in the log.
        """
        figure = captioned_row(columns(data_sample))
        if show:
            self.show(figure, win_name=name, wait_time=wait_time)
        if out_file is None:
            self.add_image(name, figure, step=step)
        else:
            save(figure, out_file)


def save(image: np.ndarray, path: str | Path) -> None:
    """Writes an image file, and its folders."""
    from PIL import Image

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
