"""Bicubic resizing with MATLAB's numbers."""

import numpy as np
import pytest

from mmadm.evaluation import psnr
from mmadm.utils import matlab_resize, resize
from mmadm.utils.images import read_image
from tests.conftest import draw_photo

REDUCED = [[104, 128, 124, 130], [125, 122, 133, 120], [120, 134, 126, 123]]
ENLARGED = [
    [0, 0, 18, 39, 59, 69],
    [13, 23, 43, 64, 88, 100],
    [62, 72, 91, 116, 147, 162],
    [111, 122, 145, 151, 141, 136],
    [160, 175, 205, 170, 72, 23],
    [185, 202, 235, 180, 37, 0],
]


def cubic(x: float) -> float:
    """Keys' kernel, a = -1/2, in its nested form."""
    x = abs(x)
    if x <= 1:
        return (1.5 * x - 2.5) * x * x + 1
    return ((-0.5 * x + 2.5) * x - 4) * x + 2 if x < 2 else 0.0


def slow_resize(values: np.ndarray, new: int) -> np.ndarray:
    """The definition, value by value, along the first axis of (H, W)."""
    old = len(values)
    scale = new / old
    shrink = min(scale, 1)
    mirrored = np.concatenate([values[::-1], values, values[::-1]])
    result = np.zeros((new, *values.shape[1:]))
    for i in range(new):
        centre = (i + 0.5) / scale - 0.5
        weights = [cubic(shrink * (centre - j)) for j in range(-old, 2 * old)]
        result[i] = np.tensordot(weights, mirrored, 1) / sum(weights)
    return result


@pytest.mark.parametrize('size', [(3, 4), (6, 8), (12, 16), (5, 23), (48, 64)])
def test_it_is_the_definition(size):
    image = np.random.default_rng(0).integers(0, 256, (12, 16)).astype(np.uint8)
    expected = slow_resize(slow_resize(image / 1.0, size[0]).T, size[1]).T
    got = matlab_resize(image, size)
    assert got.dtype == np.uint8 and got.shape == size
    assert np.abs(got - expected.clip(0, 255)).max() <= 0.5 + 1e-9


def test_stored_values():
    """Of the version that scores B100 with the published 25.96 dB, see below."""
    image = (np.arange(12 * 16).reshape(12, 16) * 37 % 251).astype(np.uint8)
    assert matlab_resize(image, (3, 4)).tolist() == REDUCED
    assert matlab_resize(image[:3, :3], (6, 6)).tolist() == ENLARGED


def test_channels_do_not_mix():
    photo = draw_photo(0)
    together = matlab_resize(photo, (10, 12))
    for channel in range(3):
        alone = matlab_resize(photo[..., channel], (10, 12))
        assert (together[..., channel] == alone).all()


def test_halves_are_rounded_up():
    """MATLAB's uint8() rounds 0.5 to 1, NumPy's rint to 0."""
    image = np.array([[0, 1], [0, 1]], np.uint8)
    assert matlab_resize(image, (1, 1)) == 1


def test_pillow_gives_other_values_at_the_border():
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    ours = matlab_resize(noise, (16, 16)).astype(int)
    other = resize(noise, (16, 16), 'bicubic').astype(int)
    assert np.abs(ours - other)[1:-1, 1:-1].max() <= 1
    assert np.abs(ours - other).max() > 1


def test_b100_scores_as_published(data_root):
    """B100 is BSDS500's part val; 25.96 dB is everyone's number for bicubic x4."""
    scores = []
    for path in sorted((data_root / 'BSDS500/data/images/val').glob('*.jpg')):
        image = read_image(str(path), 'color')
        height, width = (side - side % 4 for side in image.shape[:2])
        image = image[:height, :width]
        low = matlab_resize(image, (height // 4, width // 4))
        high = matlab_resize(low, (height, width))
        luma = (x @ (np.array([65.481, 128.553, 24.966]) / 255) for x in (image, high))
        y, y_high = (x[4:-4, 4:-4] for x in luma)
        scores.append((psnr(y_high, y), psnr(high, image)))
    assert len(scores) == 100
    assert np.mean(scores, axis=0) == pytest.approx([25.9634, 24.6604], abs=1e-4)
