"""Intervals from the spread of samples have the coverage that they state."""

import json

import numpy as np
import pytest

from mmadm.apis.calibration import (
    Calibration,
    fit_scale,
    load_calibration,
    measure_coverage,
)


def draw_values(seed: int, images: int, spread: float, pixels: int = 6000):
    """Images whose noise differs by pixel; samples have ``spread`` times this noise.

    Mean, standard deviation and ground truth, in 8 bits.
    """
    rng = np.random.default_rng(seed)
    for _ in range(images):
        level = rng.uniform(60, 200, pixels)
        sigma = np.exp(rng.uniform(0, 3, pixels))
        noise = rng.normal(size=(9, pixels)) * sigma
        truth, *samples = np.rint(level + noise * [[1.0], *[[spread]] * 8])
        samples = np.clip(samples, 0, 255)
        mean = samples.mean(0).round().astype(np.uint8)
        yield mean, samples.std(0, ddof=1), truth.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize('coverage', [0.5, 0.9, 0.95])
@pytest.mark.parametrize('spread', [0.3, 1.0, 3.0])
def test_held_out_pixels_are_covered_as_stated(coverage, spread):
    scale, images = fit_scale(draw_values(0, 10, spread), coverage)
    assert images == 10
    found = measure_coverage(draw_values(1, 10, spread), scale)
    assert abs(found - coverage) < 0.02
    # The arrays of the intervals contain the same pixels.
    calibration = Calibration(coverage, scale, {}, images)
    inside = []
    for mean, std, truth in draw_values(1, 10, spread):
        lower, upper = calibration.interval(mean[:, None], std[:, None])
        inside.append((lower[:, 0] <= truth) & (truth <= upper[:, 0]))
    assert np.mean(inside) == pytest.approx(found, abs=1e-3)


def test_intervals_are_wider_where_the_samples_differ():
    calibration = Calibration(0.9, 2.0, {}, 1)
    std = np.array([[0.0, 3.0]])
    lower, upper = calibration.interval(np.full((1, 2, 3), 100, np.uint8), std)
    assert lower[0].tolist() == [[98] * 3, [92] * 3]
    assert upper[0].tolist() == [[102] * 3, [108] * 3]
    lower, upper = calibration.interval(np.array([[1, 254]], np.uint8), std)
    assert lower.tolist() == [[0, 246]] and upper.tolist() == [[3, 255]]


@pytest.mark.parametrize('coverage', [0, 1, -0.1, 90])
def test_a_coverage_is_a_fraction(coverage):
    with pytest.raises(ValueError, match=rf'is a fraction, but got {coverage}'):
        fit_scale([], coverage)


def test_few_pixels_do_not_suffice_for_a_high_coverage():
    with pytest.raises(ValueError, match='more pixels than 50'):
        fit_scale(draw_values(0, 1, 1.0, pixels=50), 0.99)


def test_a_calibration_is_read_as_it_was_written(tmp_path):
    calibration = Calibration(0.9, 1.25, dict(num_samples=4, model='a'), 7, 0.89)
    calibration.save(tmp_path / 'a.json')
    assert load_calibration(tmp_path / 'a.json') == calibration
    with pytest.raises(FileNotFoundError, match=r'not found: .*b\.json.*calibrate\.py'):
        load_calibration(tmp_path / 'b.json')
    for content in ('{', json.dumps(dict(scale=1)), '[1]'):
        (tmp_path / 'b.json').write_text(content)
        with pytest.raises(ValueError, match=r'Not a calibration: .*b\.json'):
            load_calibration(tmp_path / 'b.json')
