"""PSNR and SSIM."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio

from mmadm.evaluation import ImageFidelity, psnr, ssim
from tests.conftest import draw_photo


def noisy(seed: int, amount: float = 10.0) -> tuple[np.ndarray, np.ndarray]:
    truth = draw_photo(seed)
    noise = np.random.default_rng(seed).normal(0, amount, truth.shape)
    return np.clip(truth + noise, 0, 255).astype(np.uint8), truth


def as_sample(pred: np.ndarray, truth: np.ndarray, scale: int = 4) -> dict:
    tensor = {
        'pred_img': pred,
        'gt_img': truth,
        'condition': np.ascontiguousarray(truth[::scale, ::scale]),
    }
    return {k: torch.from_numpy(v.transpose(2, 0, 1)) for k, v in tensor.items()}


def evaluate(metric: ImageFidelity, pairs) -> dict:
    metric.process(None, [as_sample(*pair) for pair in pairs])
    return metric.evaluate(len(pairs))


def test_psnr_agrees_with_scikit_image():
    pred, truth = noisy(0)
    assert psnr(pred, truth) == pytest.approx(peak_signal_noise_ratio(truth, pred))


def test_equal_images_have_infinite_psnr_and_ssim_one():
    image = draw_photo(1)
    assert psnr(image, image) == float('inf')
    assert ssim(image, image) == pytest.approx(1)


def test_ssim_is_wangs_formula():
    """Written out with SciPy's Gaussian: the window is 11 wide, borders left out."""
    pred, truth = (x.astype(float) for x in noisy(2))

    def mean(x):
        return gaussian_filter(x, sigma=(1.5, 1.5, 0), truncate=3.5)

    mu_x, mu_y = mean(pred), mean(truth)
    var_x, var_y = mean(pred**2) - mu_x**2, mean(truth**2) - mu_y**2
    cov = mean(pred * truth) - mu_x * mu_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    index = (2 * mu_x * mu_y + c1) * (2 * cov + c2)
    index /= (mu_x**2 + mu_y**2 + c1) * (var_x + var_y + c2)
    expected = index[5:-5, 5:-5].mean()
    assert ssim(*noisy(2)) == pytest.approx(expected, abs=1e-9)


def test_scores_are_means_over_images():
    pairs = [noisy(i, amount) for i, amount in enumerate((5, 10, 20))]
    scores = evaluate(ImageFidelity(), pairs)
    assert scores['psnr'] == pytest.approx(np.mean([psnr(*pair) for pair in pairs]))
    assert scores['ssim'] == pytest.approx(np.mean([ssim(*pair) for pair in pairs]))


def test_the_border_is_left_out():
    truth = draw_photo(0)
    pred = truth.copy()
    pred[:3], pred[:, -3:] = 0, 0
    assert evaluate(ImageFidelity(crop_border=3), [(pred, truth)])['psnr'] == float(
        'inf'
    )
    assert evaluate(ImageFidelity(crop_border=2), [(pred, truth)])['psnr'] < 40


def test_luma_is_matlabs():
    """rgb2ycbcr maps white to 235 and black to 16."""
    metric = ImageFidelity(color='y')
    ends = np.array([[[255, 255, 255], [0, 0, 0]]], np.uint8)
    assert metric._prepare(ends).flatten() == pytest.approx([235, 16], abs=1e-3)


def test_the_baseline_scores_the_enlarged_condition():
    scores = evaluate(ImageFidelity(baseline='bicubic'), [noisy(3)])
    assert scores.keys() == {'psnr', 'ssim', 'bicubic:psnr', 'bicubic:ssim'}
    assert scores['bicubic:psnr'] != scores['psnr']


def test_tiny_images_and_unknown_metrics_are_refused():
    with pytest.raises(ValueError, match=r'11 x 11.*8 x 8'):
        ssim(np.zeros((8, 8, 3)), np.zeros((8, 8, 3)))
    with pytest.raises(ValueError, match='pnsr'):
        ImageFidelity(measures=('pnsr',))
