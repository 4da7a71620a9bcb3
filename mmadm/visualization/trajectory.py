"""Figure of a sampling trajectory: noisy images and predictions, step by step."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from .images import captioned, column, detail, fitted, legible, row, to_rgb_array

_SIDE = 160


@dataclass(frozen=True)
class TrajectoryStep:
    """One step of sampling.

    Args:
        time: t before the step.
        noisy: ``x_t``, (C, H, W), uint8.
        prediction: the image that the network predicts from it, (C, H, W), uint8.
    """

    time: float
    noisy: Tensor
    prediction: Tensor


def draw_trajectory(steps: Sequence[TrajectoryStep]) -> np.ndarray:
    """Draws one column per step: the noisy image above, the prediction below.

    Large maps are reduced, and of large images the centre is shown.
    """
    columns = []
    for number, step in enumerate(steps, start=1):
        reduce = fitted if len(step.noisy) == 1 else detail
        captions = f't = {step.time:.3g}', f'prediction {number}'
        images = step.noisy, step.prediction
        columns.append(
            column(
                [
                    captioned(legible(reduce(to_rgb_array(image), _SIDE)), caption)
                    for image, caption in zip(images, captions)
                ]
            )
        )
    return row(columns)
