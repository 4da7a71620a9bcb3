"""Sampling of one image that is watched at each step, or drawn as a trajectory."""

from collections.abc import Callable

import numpy as np
from torch import Tensor

from mmadm.structures import DiffusionSample
from mmadm.visualization.trajectory import TrajectoryStep, draw_trajectory

from .results import to_array

#: (step, t, x_t, x0): the noisy image and the image estimate, (C, H, W), uint8.
ImageCallback = Callable[[int, float, Tensor, Tensor], None]
#: The same with arrays in the form of the predictions.
StepCallback = Callable[[int, float, np.ndarray, np.ndarray], None]


def predict_watched(
    model, condition: list[Tensor], sample: DiffusionSample, callback: ImageCallback
) -> None:
    """Predict one sample, and pass the images of each step to a callback.

    Args:
        model: an :class:`mmadm.models.ADM`.
        condition: the condition from the data preprocessor, or an empty list.
        sample: gets ``pred_img``.
        callback: called after each step, before the next one.
    """
    batch = condition[0][None] if condition else None

    def to_image(state: Tensor) -> Tensor:
        image = model.first_stage.decode(state.float(), batch)[0]
        return model.data_preprocessor.to_uint8(image, sample)

    def watch(i: int, t: float, x_t: Tensor, x0: Tensor) -> None:
        callback(i, t, to_image(x_t), to_image(x0))

    model.predict(condition, [sample], callback=watch)


def sample_trajectory(
    model,
    condition: list[Tensor],
    sample: DiffusionSample,
    callback: ImageCallback = lambda *_: None,
) -> np.ndarray:
    """Predict one sample and draw its trajectory, see :func:`draw_trajectory`.

    The arguments are those of :func:`predict_watched`.
    """
    steps = []

    def record(i: int, t: float, x_t: Tensor, x0: Tensor) -> None:
        steps.append(TrajectoryStep(t, x_t, x0))
        callback(i, t, x_t, x0)

    predict_watched(model, condition, sample, record)
    return draw_trajectory(steps)


def watch_sample(
    model,
    condition: list[Tensor],
    sample: DiffusionSample,
    trajectory: bool,
    callback: StepCallback | None,
) -> None:
    """Predict one sample with a callback, or a figure of its trajectory, or both.

    Args:
        model: an :class:`mmadm.models.ADM`.
        condition: the condition from the data preprocessor, or an empty list.
        sample: gets ``pred_img``, and on request ``trajectory``.
        trajectory: draw it.
        callback: called after each step.
    """

    def step(i: int, t: float, *images: Tensor) -> None:
        if callback is not None:
            callback(i, t, *(to_array(sample, image) for image in images))

    if trajectory:
        sample.trajectory = sample_trajectory(model, condition, sample, step)
    else:
        predict_watched(model, condition, sample, step)
