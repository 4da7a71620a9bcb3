"""Statistics of several samples, on images whose values are known."""

import numpy as np
import pytest

from mmadm.utils.sample_statistics import SampleStatistics

SHAPE = (3, 40, 50)


def statistics(samples: np.ndarray, gt: np.ndarray, **options) -> dict[str, float]:
    result = SampleStatistics()
    result.add(samples, gt, **options)
    return result.compute()


def test_samples_of_the_distribution_of_the_ground_truth_are_calibrated():
    rng = np.random.default_rng(0)
    spread = rng.uniform(1, 40, SHAPE)
    mean = rng.uniform(0, 255, SHAPE)
    *samples, gt = (rng.normal(mean, spread) for _ in range(9))
    found = statistics(np.stack(samples), gt)
    assert found['coverage'] == pytest.approx(7 / 9, abs=0.02)
    assert found['expected_coverage'] == pytest.approx(7 / 9)
    # The standard deviation of eight numbers is 0.965 sigma on average.
    assert found['diversity'] == pytest.approx(0.965 * spread.mean(), rel=0.02)
    assert found['calibration'] > 0.4
    assert found['sharpness'] == pytest.approx(1, abs=0.02)
    assert found['mean_sharpness'] < 0.98


def test_independent_references(seed=1):
    rng = np.random.default_rng(seed)
    samples, gt = rng.uniform(0, 255, (4, *SHAPE)), rng.uniform(0, 255, SHAPE)
    found = statistics(samples, gt)
    std, error = samples.std(0, ddof=1), abs(samples.mean(0) - gt)
    expected = np.corrcoef(std.ravel(), error.ravel())[0, 1]
    assert found['calibration'] == pytest.approx(expected)
    halves = SampleStatistics()
    halves.add(samples[..., :25], gt[..., :25])
    halves.add(samples[..., 25:], gt[..., 25:])
    assert halves.compute()['coverage'] == pytest.approx(found['coverage'])
    assert halves.compute()['calibration'] == pytest.approx(expected)


def test_equal_samples_are_not_diverse_and_blur_is_not_sharp():
    gt = np.zeros((1, 8, 8))
    gt[..., 4:] = 200
    blurred = gt.copy()
    blurred[..., 3:5] = 100
    found = statistics(np.stack([gt, gt]), gt)
    assert (found['diversity'], found['calibration'], found['coverage']) == (0, 0, 1)
    assert found['sharpness'] == found['mean_sharpness'] == 1
    # A ramp of two steps has the sum of one step; half the height has half of it.
    assert statistics(blurred[None], gt) == dict(sharpness=1.0)
    assert statistics(gt[None] / 2, gt) == dict(sharpness=0.5)


def test_only_pixels_of_the_mask_count():
    gt = np.zeros((1, 4, 4))
    samples = np.stack([gt, gt + 10])
    samples[..., 2:] = 255
    mask = np.zeros((4, 4))
    mask[:, :2] = 1
    assert statistics(samples, gt, mask=mask)['coverage'] == 1
    assert statistics(samples, gt)['coverage'] == 0.5


def test_shapes_and_numbers_have_to_agree():
    found = SampleStatistics()
    with pytest.raises(ValueError, match='differ in shape'):
        found.add(np.zeros((2, 3, 4, 4)), np.zeros((1, 4, 4)))
    found.add(np.zeros((2, 1, 4, 4)), np.zeros((1, 4, 4)))
    with pytest.raises(ValueError, match='after 2 came 3'):
        found.add(np.zeros((3, 1, 4, 4)), np.zeros((1, 4, 4)))
