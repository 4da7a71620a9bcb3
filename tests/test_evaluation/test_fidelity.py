"""PSNR, SSIM and LPIPS."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio

from mmadm.evaluation import ImageFidelity, psnr, ssim
from mmadm.utils.matlab_resize import matlab_resize
from tests.conftest import draw_photo

from .two_processes import in_two_processes


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
    assert scores['psnr_rgb'] == pytest.approx(np.mean([psnr(*pair) for pair in pairs]))
    assert scores['ssim_rgb'] == pytest.approx(np.mean([ssim(*pair) for pair in pairs]))


def test_two_processes_score_as_one(tmp_path):
    """Three images: the second process gets the first again, to fill its share."""
    pairs = [noisy(i, amount) for i, amount in enumerate((5, 10, 20))]

    def work(rank: int) -> dict:
        metric = ImageFidelity(baseline='bicubic')
        for index in ((0, 2), (1, 0))[rank]:
            metric.process(None, [as_sample(*pairs[index])])
        return metric.evaluate(3)

    alone = evaluate(ImageFidelity(baseline='bicubic'), pairs)
    for scores in in_two_processes(tmp_path, work):
        assert scores == pytest.approx(alone, rel=1e-12)


def test_the_border_is_left_out():
    truth = draw_photo(0)
    pred = truth.copy()
    pred[:3], pred[:, -3:] = 0, 0
    whole = evaluate(ImageFidelity(crop_border=3), [(pred, truth)])
    assert whole['psnr_rgb_b3'] == float('inf')
    cut = evaluate(ImageFidelity(crop_border=2), [(pred, truth)])
    assert cut['psnr_rgb_b2'] < 40


def test_a_constant_error_of_one_is_48_decibels_in_any_preset():
    """20 log10(255 / d); subtracting 8-bit numbers would wrap."""
    truth = np.full((24, 24, 3), 100, np.uint8)
    pred = truth - 1
    rgb = evaluate(ImageFidelity(measures=('psnr',)), [(pred, truth)])
    assert rgb == {'psnr_rgb': pytest.approx(48.1308, abs=1e-4)}
    # An equal step in all channels is 219 / 255 of it in studio-range luma.
    luma = evaluate(ImageFidelity(('psnr',), 'y', crop_border=4), [(pred, truth)])
    expected = 20 * np.log10(255 / (219 / 255))
    assert luma == {'psnr_y_b4': pytest.approx(expected, abs=1e-3)}
    grey = evaluate(ImageFidelity(('psnr',)), [(pred[..., :1], truth[..., :1])])
    assert grey == {'psnr_grey': pytest.approx(48.1308, abs=1e-4)}


def test_luma_is_matlabs():
    """rgb2ycbcr maps white to 235 and black to 16."""
    metric = ImageFidelity(color='y')
    ends = np.array([[[255, 255, 255], [0, 0, 0]]], np.uint8)
    assert metric._prepare(ends).flatten() == pytest.approx([235, 16], abs=1e-3)


def test_the_baseline_scores_the_enlarged_condition():
    scores = evaluate(ImageFidelity(baseline='bicubic'), [noisy(3)])
    own = {'psnr_rgb', 'ssim_rgb'}
    assert scores.keys() == own | {f'bicubic:{key}' for key in own}
    assert scores['bicubic:psnr_rgb'] != scores['psnr_rgb']


def test_a_prediction_that_reduces_to_the_condition_has_a_high_lr_psnr():
    truth = draw_photo(0)
    condition = matlab_resize(truth, (10, 12))
    scores = []
    for pred in (truth, np.clip(truth + 3.0, 0, 255).astype(np.uint8)):
        sample = as_sample(pred, truth)
        sample['condition'] = torch.from_numpy(condition.transpose(2, 0, 1).copy())
        metric = ImageFidelity(measures=('lr_psnr',))
        metric.process(None, [sample])
        scores.append(metric.evaluate(1)['lr_psnr'])
    assert scores[0] == float('inf')
    assert scores[1] == pytest.approx(20 * np.log10(255 / 3), abs=0.1)


def test_lpips_is_zero_for_equal_images_and_grows_with_noise():
    metric = ImageFidelity(('psnr', 'lpips'), lpips_weights='random')
    key = 'lpips_vgg_random_weights_rgb'
    assert evaluate(metric, [(draw_photo(0), draw_photo(0))])[key] == 0
    weak, strong = (evaluate(metric, [noisy(0, amount)])[key] for amount in (3, 30))
    assert 0 < weak < strong


def test_lpips_without_weights_or_of_luma_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match='vgg16-397923af'):
        ImageFidelity(('lpips',), lpips_weights=str(tmp_path / 'vgg16-397923af.pth'))
    with pytest.raises(ValueError, match="color='y'"):
        ImageFidelity(('lpips',), color='y', lpips_weights='random')


def luma(image: Image.Image) -> np.ndarray:
    """(H, W, 1), uint8, as MATLAB rounds it; grey images are their own luma."""
    pixels = np.array(image, float)
    if image.mode == 'RGB':
        pixels = pixels @ [65.481, 128.553, 24.966] / 255 + 16
    return np.floor(pixels + 0.5).astype(np.uint8)[..., None]


@pytest.mark.parametrize(
    ('folder', 'decibels', 'similarity'),
    [
        ('SR_benchmark/Set5/HR', 28.42, 0.8104),
        ('SR_benchmark/Set14/HR', 26.00, 0.7027),
        # B100.
        ('BSDS500/data/images/val', 25.96, 0.6675),
    ],
)
def test_bicubic_enlargement_scores_as_published(
    data_root, folder, decibels, similarity
):
    """4x, MATLAB's kernel, luma, a border of 4: the table of every paper."""
    metric = ImageFidelity(color='y', crop_border=4)
    paths = sorted((data_root / folder).glob('*.*g'))
    for path in paths:
        truth = luma(Image.open(path))
        height, width = (side // 4 * 4 for side in truth.shape[:2])
        truth = truth[:height, :width]
        small = matlab_resize(truth, (height // 4, width // 4))
        pred = matlab_resize(small, (height, width))
        metric.process(None, [as_sample(pred, truth)])
    scores = metric.evaluate(len(paths))
    assert scores['psnr_y_b4'] == pytest.approx(decibels, abs=0.0055)
    assert scores['ssim_y_b4'] == pytest.approx(similarity, abs=1e-3)


def test_tiny_images_and_unknown_metrics_are_refused():
    with pytest.raises(ValueError, match=r'11 x 11.*8 x 8'):
        ssim(np.zeros((8, 8, 3)), np.zeros((8, 8, 3)))
    with pytest.raises(ValueError, match='pnsr'):
        ImageFidelity(measures=('pnsr',))


@pytest.mark.parametrize(
    'options', [dict(color='rbg'), dict(baseline='nearest'), dict(crop_border=-1)]
)
def test_unknown_options_are_refused(options):
    with pytest.raises(ValueError, match=f'{next(iter(options))}='):
        ImageFidelity(**options)


def test_images_that_cannot_be_compared_are_named():
    def score(changes: dict, **options) -> None:
        sample = as_sample(*noisy(0)) | dict(img_path='a.png') | changes
        ImageFidelity(('psnr',), **options).process(None, [sample])

    score({})
    pred = as_sample(*noisy(0))['pred_img']
    with pytest.raises(ValueError, match=r'a\.png has the shape \(39, 48, 3\)'):
        score(dict(pred_img=pred[:, 1:]))
    with pytest.raises(ValueError, match=r'a\.png has the shape \(40, 48, 1\)'):
        score(dict(pred_img=pred[:1]))
    with pytest.raises(ValueError, match=r'gt_img of a\.png is torch\.float32'):
        score(dict(gt_img=pred / 255))
    with pytest.raises(ValueError, match=r'crop_border=20.*a\.png, 40 x 48'):
        score({}, crop_border=20)
    sample = as_sample(*noisy(0))
    sample.pop('condition')
    with pytest.raises(ValueError, match='no condition, which ImageFidelity'):
        ImageFidelity(('lr_psnr',)).process(None, [sample])
