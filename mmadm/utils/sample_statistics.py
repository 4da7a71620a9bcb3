"""Sharpness, diversity and calibration: what several samples of an image show."""

import numpy as np


class SampleStatistics:
    """Statistics of K samples per image, over all pixels and channels of all images.

    - ``sharpness``: mean gradient magnitude of the samples, divided by that of the
      ground truth; ``mean_sharpness``: of their mean. 1 is as sharp as the ground
      truth.
    - ``diversity``: mean standard deviation of the samples, in grey levels (of 255).
    - ``calibration``: correlation of the standard deviation with the absolute error of
      the mean; 0 where all samples are equal.
    - ``coverage``: fraction of values that lie between the smallest and the largest
      sample; ``expected_coverage``, (K - 1) / (K + 1), if the ground truth were one of
      the samples. Maps with large areas of one value exceed it.

    Without several samples only ``sharpness`` is known.
    """

    def __init__(self) -> None:
        self.gradients = np.zeros(3)  # samples, their mean, ground truth
        self.covered = 0.0
        self.num_samples = 0
        # Of standard deviation and error: number, sums, sums of products.
        self.count = 0
        self.sums = np.zeros(2)
        self.products = np.zeros((2, 2))

    def add(
        self, samples: np.ndarray, gt: np.ndarray, mask: np.ndarray | None = None
    ) -> None:
        """Count one image.

        Args:
            samples: (K, C, H, W), from 0 to 255.
            gt: (C, H, W), likewise.
            mask: (H, W), the pixels to count, where it is not 0; None counts all.

        Raises:
            ValueError: the shapes differ, or images have other numbers of samples.
        """
        if samples.shape[1:] != gt.shape:
            raise ValueError(
                f'Samples and ground truth differ in shape: {samples.shape[1:]} and '
                f'{gt.shape} (C, H, W). Predict images of the size of the latter.'
            )
        if self.num_samples not in (0, len(samples)):
            raise ValueError(
                f'All images have equally many samples, but after {self.num_samples} '
                f'came {len(samples)}. Draw the same number.'
            )
        self.num_samples = len(samples)
        samples, gt = samples.astype(np.float64), gt.astype(np.float64)
        inside = np.ones(gt.shape[1:], bool) if mask is None else mask != 0
        mean = samples.mean(axis=0)
        self.gradients += [
            np.mean([_gradient_sum(sample, inside) for sample in samples]),
            _gradient_sum(mean, inside),
            _gradient_sum(gt, inside),
        ]
        if len(samples) == 1:
            return
        within = (samples.min(axis=0) <= gt) & (gt <= samples.max(axis=0))
        pairs = np.stack([samples.std(axis=0, ddof=1), np.abs(mean - gt)])
        pairs = pairs[:, :, inside].reshape(2, -1)
        self.covered += within[:, inside].sum()
        self.count += pairs.shape[1]
        self.sums += pairs.sum(axis=1)
        self.products += pairs @ pairs.T

    def compute(self) -> dict[str, float]:
        """The statistics, by name."""
        of_samples, of_mean, of_gt = self.gradients
        result = dict(sharpness=_ratio(of_samples, of_gt))
        if self.num_samples < 2:
            return result
        means = self.sums / self.count
        covariance = self.products / self.count - np.outer(means, means)
        scale = np.sqrt(np.prod(np.diag(covariance).clip(min=0)))
        number = self.num_samples
        return result | dict(
            mean_sharpness=_ratio(of_mean, of_gt),
            diversity=float(means[0]),
            calibration=_ratio(covariance[0, 1], scale),
            coverage=self.covered / self.count,
            expected_coverage=(number - 1) / (number + 1),
        )


def _gradient_sum(image: np.ndarray, inside: np.ndarray) -> float:
    """Sum of the gradient magnitudes of all channels; forward differences."""
    right = np.diff(image, axis=2, append=image[:, :, -1:])
    down = np.diff(image, axis=1, append=image[:, -1:])
    return float(np.hypot(right, down)[:, inside].sum())


def _ratio(numerator: float, denominator: float) -> float:
    """0 where the denominator is 0."""
    return float(numerator / denominator) if denominator > 0 else 0.0
