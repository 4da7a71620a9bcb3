"""Intervals with a stated coverage, from the spread of several samples.

Split conformal prediction with normalised scores: the error of the mean of K samples,
divided by their standard deviation, is measured on images with a ground truth. Its
quantile is the scale with which the standard deviation of other images, that are like
these, becomes an interval. No model of the errors is assumed.
"""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from mmadm.utils import enlarge
from mmadm.utils.files import atomic_write

#: Added to the standard deviation: the step of 8 bits, in grey levels. Without it, the
#: interval would have no width where all samples are equal.
OFFSET = 1.0
# Values of each image that the scale is fitted on.
_VALUES = 20_000

#: Mean of K samples, their standard deviation, and the ground truth of the same pixels,
#: in grey levels.
Values = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Calibration:
    """The scale of the intervals, and what it was fitted for.

    Args:
        coverage: fraction of the pixels that lie in their interval.
        scale: half the width of an interval, for one grey level of spread.
        settings: the arguments of sampling, and the fingerprint of the model.
        images: number of images of the calibration.
        checked: fraction of the pixels of other images that lay in their interval.
    """

    coverage: float
    scale: float
    settings: dict
    images: int
    checked: float | None = None

    def interval(
        self, prediction: np.ndarray, std: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest value of each pixel, as the prediction, uint8.

        Args:
            prediction: mean of K samples, (H, W, 3) or (H, W), uint8.
            std: their standard deviation in grey levels, (H, W).
        """
        std = std[..., None] if prediction.ndim > std.ndim else std
        width = self.scale * (std + OFFSET)
        # Ground truths are whole numbers: rounding inwards excludes none of them.
        lower = np.ceil(prediction - width).clip(0, 255)
        upper = np.floor(prediction + width).clip(0, 255)
        return lower.astype(np.uint8), upper.astype(np.uint8)

    def save(self, path: str | Path) -> None:
        """Write a JSON file."""
        with atomic_write(path) as part:
            part.write_text(json.dumps(asdict(self), indent=2) + '\n')


def load_calibration(path: str | Path) -> Calibration:
    """The calibration in a file of :meth:`Calibration.save`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no calibration.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f'Calibration not found: {path}. Make it with '
            'tools/analysis_tools/calibrate.py.'
        )
    try:
        return Calibration(**json.loads(Path(path).read_text()))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f'Not a calibration: {path} ({error}). Make it with '
            'tools/analysis_tools/calibrate.py.'
        ) from error


def fit_scale(values: Iterable[Values], coverage: float) -> tuple[float, int]:
    """The scale of intervals with a coverage, and the number of images.

    Raises:
        ValueError: the coverage is no fraction, or there are too few pixels for it.
    """
    if not 0 < coverage < 1:
        raise ValueError(
            f'The coverage of intervals is a fraction, but got {coverage}. Give for '
            'instance 0.9.'
        )
    rng = np.random.default_rng(0)
    scores = []
    for mean, std, target in values:
        # In float: the difference of 8-bit numbers wraps around.
        score = np.abs(target.astype(np.float32) - mean) / (std + OFFSET)
        chosen = rng.permutation(len(score))[:_VALUES]
        scores.append(score[chosen])
    total = sum(map(len, scores))
    rank = math.ceil((total + 1) * coverage)
    if rank > total:
        raise ValueError(
            f'Intervals of coverage {coverage} need more pixels than {total}. Give '
            'more images with ground truth.'
        )
    return float(np.partition(np.concatenate(scores), rank - 1)[rank - 1]), len(scores)


def measure_coverage(values: Iterable[Values], scale: float) -> float:
    """Fraction of the pixels that lie in the intervals of a scale."""
    inside = total = 0
    for mean, std, target in values:
        error = np.abs(target.astype(np.float32) - mean)
        inside += np.count_nonzero(error <= scale * (std + OFFSET))
        total += len(error)
    return inside / total


def sample_values(
    inferencer, dataset: Dataset, indices: Sequence[int], settings: dict
) -> Iterator[Values]:
    """The values of images with ground truth; of inpainting, those of the hole.

    Args:
        inferencer: an :class:`mmadm.apis.ADMInferencer`.
        dataset: a test set of its config.
        indices: of the images.
        settings: arguments of sampling.
    """
    for index in indices:
        batch = inferencer.collate_fn([dataset[index]])
        (sample,) = inferencer.forward(batch, **settings)
        target = sample.gt_img.numpy()
        mean, std = (
            enlarge(x.cpu(), target.shape[-2:]).numpy()
            for x in (sample.pred_img, sample.pred_std)
        )
        std = np.broadcast_to(std, mean.shape)
        known = np.zeros(target.shape, bool)
        if 'mask' in sample:
            known |= sample.mask.numpy() == 0
        yield mean[~known], std[~known], target[~known]


def calibrate(
    inferencer,
    dataset: Dataset,
    others: Dataset | None,
    coverage: float,
    number: int | None = None,
    **settings,
) -> Calibration:
    """Fit the scale on some images, and measure its coverage on others.

    Args:
        inferencer: an :class:`mmadm.apis.ADMInferencer` of a conditional model.
        dataset: images with ground truth.
        others: images for the check; None takes every second one of ``dataset``.
        coverage: fraction of the pixels that shall lie in their interval.
        number: use the first images only.
        settings: arguments of sampling; ``num_samples`` is needed.

    Raises:
        ValueError: the model is unconditional, there are too few images or samples, or
            the coverage is no fraction.
    """
    fitted = list(range(len(dataset)))[:number]
    checked = list(range(len(dataset if others is None else others)))[:number]
    if others is None:
        fitted, checked = fitted[::2], checked[1::2]
    if not inferencer.is_conditional or settings['num_samples'] < 2 or not checked:
        raise ValueError(
            'A calibration needs the spread of at least two samples of a conditional '
            f'model, and two images, but num_samples={settings["num_samples"]}, '
            f'conditional={inferencer.is_conditional}, images to fit and to check: '
            f'{len(fitted)}, {len(checked)}. Give more, or another model.'
        )
    given = {key: value for key, value in settings.items() if value is not None}
    values = sample_values(inferencer, dataset, fitted, given)
    scale, images = fit_scale(values, coverage)
    source = dataset if others is None else others
    values = sample_values(inferencer, source, checked, given)
    found = measure_coverage(values, scale)
    return Calibration(coverage, scale, inferencer.settings(given), images, found)
