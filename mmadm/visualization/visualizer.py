"""Condition, prediction and truth side by side."""

from pathlib import Path

import numpy as np
from mmengine.dist import master_only
from mmengine.visualization import Visualizer

from mmadm.registry import VISUALIZERS
from mmadm.structures import DiffusionSample
from mmadm.utils import resize

from .images import captioned, overlay, row, to_rgb_array, with_holes


def columns(sample: DiffusionSample) -> dict[str, np.ndarray]:
    """What can be shown of a sample, by caption, all of the truth's size.

    - A condition that is smaller than the answer is shown twice: as it is, with visible
      pixels, and bicubically enlarged.
    - Beside an answer, holes of inpainting are striped; alone, a condition is shown as
      the model sees it.
    - An answer that is a map is also laid over the condition.
    """
    answer = tuple(sample.target_shape)
    size = tuple(sample.get('ori_shape', answer))
    if 'gt_img' in sample:
        size = tuple(sample.gt_img.shape[-2:])
    shown = {}
    if 'condition' in sample:
        condition = to_rgb_array(sample.condition)
        smaller = condition.shape[:2] != answer
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
    if 'gt_img' in sample:
        shown['truth'] = to_rgb_array(sample.gt_img)
    return shown


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
        """Draw one sample: condition | prediction | truth.

        Args:
            name: window title, or name of the picture in the log.
            image: not needed, all pictures are in the sample.
            data_sample: what to draw.
            show: open a window.
            wait_time: seconds the window stays, 0 until a key is pressed.
            out_file: write a PNG there instead of handing it to the log.
            step: iteration in the log.
        """
        shown = columns(data_sample)
        picture = row([captioned(p, caption) for caption, p in shown.items()])
        if show:
            self.show(picture, win_name=name, wait_time=wait_time)
        if out_file is None:
            self.add_image(name, picture, step=step)
        else:
            save(picture, out_file)


def save(picture: np.ndarray, path: str | Path) -> None:
    """Write a PNG, making folders as needed."""
    from PIL import Image

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
