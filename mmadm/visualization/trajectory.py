"""The way of a sample from noise to image."""

import numpy as np
from torch import Tensor

from mmadm.structures import DiffusionSample

from .images import captioned, column, detail, fitted, row, to_rgb_array


def draw_trajectory(
    model, condition: list[Tensor], sample: DiffusionSample
) -> np.ndarray:
    """Answer one sample, and draw the way there: one column for each network call.

    Upper row: ``x_t``; lower row: the image that the network sees in it. Of maps the
    whole, of large pictures the middle.

    Args:
        model: an :class:`mmadm.models.ADM`.
        condition: the condition as the data preprocessor gives it, or an empty list.
        sample: gets ``pred_img``.
    """
    batch = condition[0][None] if condition else None
    frames = []

    def record(i: int, t: float, x_t: Tensor, x0: Tensor) -> None:
        pictures = []
        for state, name in ((x_t, f't = {t:.3g}'), (x0, f'answer {i + 1}')):
            image = model.first_stage.decode(state.float(), batch)[0]
            image = model.data_preprocessor.to_uint8(image, sample)
            reduce = fitted if len(image) == 1 else detail
            pictures.append(captioned(reduce(to_rgb_array(image), side=160), name))
        frames.append(column(pictures))

    model.predict(condition, [sample], callback=record)
    return row(frames)
