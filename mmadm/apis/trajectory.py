"""Sampling of one image with a figure of its trajectory."""

import numpy as np
from torch import Tensor

from mmadm.structures import DiffusionSample
from mmadm.visualization.trajectory import TrajectoryStep, draw_trajectory


def sample_trajectory(
    model, condition: list[Tensor], sample: DiffusionSample
) -> np.ndarray:
    """Predicts one sample and draws the trajectory, see :func:`draw_trajectory`.

    Args:
        model: an :class:`mmadm.models.ADM`.
        condition: the condition from the data preprocessor, or an empty list.
        sample: gets ``pred_img``.
    """
    batch = condition[0][None] if condition else None
    steps = []

    def to_image(state: Tensor) -> Tensor:
        image = model.first_stage.decode(state.float(), batch)[0]
        return model.data_preprocessor.to_uint8(image, sample)

    def record(i: int, t: float, x_t: Tensor, x0: Tensor) -> None:
        steps.append(TrajectoryStep(t, to_image(x_t), to_image(x0)))

    model.predict(condition, [sample], callback=record)
    return draw_trajectory(steps)
