"""PSNR, SSIM and LPIPS."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio

from mmadm.evaluation import ImageFidelity, psnr, ssim
from mmadm.evaluation.fidelity import luma
from mmadm.registry import DATASETS, METRICS
from mmadm.utils.matlab_resize import matlab_resize
from tests.conftest import ROOT, draw_photo

from .two_processes import in_two_processes


def noisy(seed: int, amount: float = 10.0) -> tuple[np.ndarray, np.ndarray]:
    gt = draw_photo(seed)
    noise = np.random.default_rng(seed).normal(0, amount, gt.shape)
    return np.clip(gt + noise, 0, 255).astype(np.uint8), gt


def as_sample(pred: np.ndarray, gt: np.ndarray, scale: int = 4) -> dict:
    tensor = {
        'pred_img': pred,
        'gt_img': gt,
        'condition': np.ascontiguousarray(gt[::scale, ::scale]),
    }
    return {k: torch.from_numpy(v.transpose(2, 0, 1)) for k, v in tensor.items()}


def evaluate(metric: ImageFidelity, pairs) -> dict:
    metric.process(None, [as_sample(*pair) for pair in pairs])
    return metric.evaluate(len(pairs))


def test_psnr_agrees_with_scikit_image():
    pred, gt = noisy(0)
    assert psnr(pred, gt) == pytest.approx(peak_signal_noise_ratio(gt, pred))


def test_equal_images_have_infinite_psnr_and_ssim_one():
    image = draw_photo(1)
    assert psnr(image, image) == float('inf')
    assert ssim(image, image) == pytest.approx(1)


def test_ssim_is_wangs_formula():
    """Written out with SciPy's Gaussian: the window is 11 wide, borders left out."""
    pred, gt = (x.astype(float) for x in noisy(2))

    def mean(x):
        return gaussian_filter(x, sigma=(1.5, 1.5, 0), truncate=3.5)

    mu_x, mu_y = mean(pred), mean(gt)
    var_x, var_y = mean(pred**2) - mu_x**2, mean(gt**2) - mu_y**2
    cov = mean(pred * gt) - mu_x * mu_y
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
    """Three images: the second process gets the first again, to fill its part."""
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
    gt = draw_photo(0)
    pred = gt.copy()
    pred[:3], pred[:, -3:] = 0, 0
    whole = evaluate(ImageFidelity(crop_border=3), [(pred, gt)])
    assert whole['psnr_rgb_b3'] == float('inf')
    cut = evaluate(ImageFidelity(crop_border=2), [(pred, gt)])
    assert cut['psnr_rgb_b2'] < 40


def test_a_constant_error_of_one_is_48_decibels_in_any_preset():
    """20 log10(255 / d); subtracting 8-bit numbers would wrap."""
    gt = np.full((24, 24, 3), 100, np.uint8)
    pred = gt - 1
    rgb = evaluate(ImageFidelity(measures=('psnr',)), [(pred, gt)])
    assert rgb == {'psnr_rgb': pytest.approx(48.1308, abs=1e-4)}
    # An equal step in all channels is 219 / 255 of it in studio-range luma, rounded.
    score = evaluate(ImageFidelity(('psnr',), 'y', crop_border=4), [(pred, gt)])
    assert score == {'psnr_y_b4': pytest.approx(48.1308, abs=1e-4)}
    grey = evaluate(ImageFidelity(('psnr',)), [(pred[..., :1], gt[..., :1])])
    assert grey == {'psnr_grey': pytest.approx(48.1308, abs=1e-4)}


def test_luma_is_matlabs():
    """rgb2ycbcr maps white to 235 and black to 16, and rounds half up."""
    ends = np.array([[[255, 255, 255], [0, 0, 0], [9, 10, 11]]], np.uint8)
    assert luma(ends).dtype == np.uint8
    # 16 + (65.481 * 9 + 128.553 * 10 + 24.966 * 11) / 255 = 24.43.
    assert luma(ends).flatten().tolist() == [235, 16, 24]
    assert luma(ends, full_range=True).flatten().tolist() == [255, 0, 10]
    grey = ends[..., :1]
    assert luma(grey) is grey


def test_the_luma_of_a_grey_file_is_its_values(tmp_path):
    """One that was read as RGB keeps 0..255; compressed to 16..235 it would gain."""
    pred, gt = (x[..., :1].repeat(3, axis=2) for x in noisy(0))
    metric = ImageFidelity(('psnr', 'ssim'), color='y')
    path = tmp_path / 'grey.png'
    Image.fromarray(gt[..., 0]).save(path)
    metric.process(None, [as_sample(pred, gt) | dict(gt_path=str(path))])
    scores = metric.evaluate(1)
    assert scores['psnr_y'] == pytest.approx(psnr(pred, gt))
    assert scores['ssim_y'] == pytest.approx(ssim(pred, gt))
    compressed = evaluate(ImageFidelity(('psnr',), color='y'), [(pred, gt)])
    assert compressed['psnr_y'] > scores['psnr_y'] + 1


def test_images_of_different_channels_are_not_broadcast():
    with pytest.raises(ValueError, match=r'\(4, 4, 1\).*\(4, 4, 3\)'):
        psnr(np.zeros((4, 4, 1)), np.zeros((4, 4, 3)))


@pytest.mark.parametrize('score', [psnr, ssim])
@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_no_score_of_non_finite_images(score, value):
    image = np.zeros((16, 16, 3))
    wrong = image.copy()
    wrong[3, 3, 0] = value
    with pytest.raises(ValueError, match='non-finite'):
        score(wrong, image)


def test_the_baseline_scores_the_enlarged_condition():
    scores = evaluate(ImageFidelity(baseline='bicubic'), [noisy(3)])
    own = {'psnr_rgb', 'ssim_rgb'}
    assert scores.keys() == own | {f'bicubic:{key}' for key in own}
    assert scores['bicubic:psnr_rgb'] != scores['psnr_rgb']


def test_a_prediction_that_reduces_to_the_condition_has_a_high_lr_psnr():
    gt = draw_photo(0)
    condition = matlab_resize(gt, (10, 12))
    scores = []
    for pred in (gt, np.clip(gt + 3.0, 0, 255).astype(np.uint8)):
        sample = as_sample(pred, gt)
        sample['condition'] = torch.from_numpy(condition.transpose(2, 0, 1).copy())
        metric = ImageFidelity(measures=('lr_psnr',))
        metric.process(None, [sample])
        scores.append(metric.evaluate(1)['lr_psnr'])
    assert scores[0] == float('inf')
    assert scores[1] == pytest.approx(20 * np.log10(255 / 3), abs=0.1)


def test_psnr_of_the_hole_counts_its_pixels_alone():
    pred, gt = noisy(0)
    mask = torch.zeros(1, *gt.shape[:2], dtype=torch.uint8)
    mask[:, 5:9, 7:20] = 1
    known = gt.copy()
    known[5:9, 7:20] = pred[5:9, 7:20]
    metric = ImageFidelity(('psnr', 'psnr_hole'))
    metric.process(None, [as_sample(known, gt) | dict(mask=mask)])
    scores = metric.evaluate(1)
    assert scores['psnr_hole'] == psnr(pred[5:9, 7:20], gt[5:9, 7:20])
    assert scores['psnr_hole'] < scores['psnr_rgb'] - 5
    with pytest.raises(ValueError, match='no hole'):
        metric.process(None, [as_sample(known, gt) | dict(mask=0 * mask)])


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


@pytest.mark.parametrize(
    ('root', 'folder', 'decibels', 'similarity'),
    [
        ('SR_benchmark', 'Set5/HR', '28.42', 0.8104),
        ('SR_benchmark', 'Set14/HR', '26.00', 0.7027),
        # B100.
        ('BSDS500', 'data/images/val', '25.96', 0.6675),
    ],
)
def test_bicubic_enlargement_scores_as_published(
    data_root, root, folder, decibels, similarity
):
    """4x, MATLAB's kernel, luma, a border of 4: the table of every paper."""
    cfg = Config.fromfile(ROOT / 'configs' / '_base_' / 'datasets/sr_benchmarks.py')
    dataset = cfg.test_dataloader.dataset
    dataset.update(data_root=str(data_root / root), data_prefix=dict(img_path=folder))
    dataset = DATASETS.build(dataset)
    metric = METRICS.build(cfg.test_evaluator)
    for item in dataset:
        sample = item['data_samples']
        sample.pred_img = sample.gt_img
        metric.process(None, [sample.to_dict()])
    scores = metric.evaluate(len(dataset))
    assert f'{scores["bicubic:psnr_y_b4"]:.2f}' == decibels
    assert scores['bicubic:ssim_y_b4'] == pytest.approx(similarity, abs=1e-3)


def test_the_baseline_of_another_reduction_enlarges_the_condition():
    """Only where the condition is MATLAB's reduction is the published way possible."""
    _, gt = noisy(0)
    sample = as_sample(gt, gt)
    metric = ImageFidelity(('psnr',), color='y', baseline='bicubic')
    metric.process(None, [sample])
    enlarged = matlab_resize(gt[::4, ::4], gt.shape[:2])
    expected = psnr(luma(enlarged), luma(gt))
    assert metric.evaluate(1)['bicubic:psnr_y'] == pytest.approx(expected)


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


def test_a_distance_like_lpips_needs_only_the_caffe_weights(data_root):
    """Without calibrated heads, so it has another name; it orders distortions alike."""
    weights = str(data_root / 'weights' / 'squeezenet_v1.1_imagenet_fp16.npz')
    metric = ImageFidelity(('lpips',), lpips_weights=weights, lpips_network='squeeze')
    key = 'lpips_like_squeeze_rgb'
    assert evaluate(metric, [(draw_photo(0), draw_photo(0))])[key] == 0
    weak, strong = (evaluate(metric, [noisy(0, amount)])[key] for amount in (3, 30))
    assert 0 < weak < strong
    with pytest.raises(ValueError, match='not the weights that LPIPS needs'):
        ImageFidelity(('lpips',), lpips_weights=weights, lpips_network='alex')
