"""Baselines: predictions from the condition alone, scored by a config's metrics."""

import json

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from mmadm.apis.baselines import (
    BASELINES,
    canny,
    centre_prior,
    opencv_inpainting,
    score_baseline,
)
from mmadm.structures import DiffusionSample
from tests.conftest import ROOT, draw_photo
from tests.test_tools.test_cli import call, refused

SR = ROOT / 'configs' / '_base_' / 'datasets' / 'sr_benchmarks.py'
FACES = ROOT / 'configs' / '_base_' / 'datasets' / 'faces_small.py'
DUTS = ROOT / 'configs' / '_base_' / 'datasets' / 'duts.py'


def sample(**fields: np.ndarray) -> DiffusionSample:
    made = DiffusionSample()
    for key, array in fields.items():
        setattr(made, key, torch.from_numpy(array.transpose(2, 0, 1).copy()))
    return made


def test_bicubic_scores_as_the_metrics_own_baseline(photo_folder):
    cfg = Config.fromfile(SR)
    cfg.test_dataloader.dataset.update(data_root=str(photo_folder))
    cfg.test_dataloader.dataset.data_prefix.update(img_path='')
    cfg.test_evaluator.update(color='rgb')
    scores = score_baseline('bicubic', cfg, number=3)
    assert scores['psnr_rgb_b4'] == scores['bicubic:psnr_rgb_b4'] > 20
    with pytest.raises(ValueError, match=r'telea.*mask'):
        score_baseline('telea', cfg)
    with pytest.raises(ValueError, match='bicubik'):
        score_baseline('bicubik', cfg)
    with pytest.raises(ValueError, match='number=0'):
        score_baseline('bicubic', cfg, number=0)


def test_samples_of_the_main_components_vary_as_the_training_images(tmp_path):
    """All training images are one image at several strengths."""
    y, x = np.indices((16, 16))
    pattern = np.stack([np.sin(x / 3), np.cos(y / 4), np.sin((x + y) / 5)], 2)
    strengths = np.random.default_rng(0).normal(0, 20, 40)
    for i, strength in enumerate(strengths):
        image = np.rint(128 + strength * pattern).clip(0, 255).astype(np.uint8)
        Image.fromarray(image).save(tmp_path / f'{i:02d}.png')
    cfg = Config.fromfile(FACES)
    cfg.train_dataloader.dataset.data_root = str(tmp_path)
    cfg.train_dataloader.dataset.pipeline[1].size = (16, 16)
    cfg.train_dataloader.dataset.pipeline[2].prob = 0.0
    predict = BASELINES['pca_samples'](cfg)

    def drawn(index: int) -> np.ndarray:
        made = DiffusionSample(metainfo=dict(sample_idx=index))
        return (predict(made).astype(float) - 128).flatten()

    images = np.stack([drawn(i) for i in range(200)])
    found = images @ pattern.flatten() / (pattern**2).sum()
    rest = images - found[:, None] * pattern.flatten()
    assert rest.std() < 1.5
    assert 0.8 < found.std() / strengths.std() < 1.2
    np.testing.assert_array_equal(drawn(3), drawn(3))


def test_canny_values_rise_with_the_contrast_of_the_edge():
    image = np.full((40, 60, 3), 100, np.uint8)
    image[:, 20:40], image[:, 40:] = 140, 240
    edges = canny(sample(condition=image), sigma=1.0)[..., 0]
    rows = edges[10:30]
    weak, strong = rows[:, 17:23].max(1), rows[:, 37:43].max(1)
    assert (weak > 0).all() and (strong > weak).all()
    assert (rows[:, :15] == 0).all() and (rows[:, 45:] == 0).all()
    # The value is the largest threshold: above it, Canny finds nothing.
    grey = cv2.GaussianBlur(image[..., 0], (0, 0), 1.0)
    threshold = strong.max() / 255 * 500
    for factor, found in ((0.98, True), (1.1, False)):
        high = factor * threshold
        assert cv2.Canny(grey, 0.4 * high, high, L2gradient=True).any() == found


@pytest.mark.parametrize('method', [cv2.INPAINT_TELEA, cv2.INPAINT_NS])
def test_inpainting_keeps_known_pixels_and_does_not_see_the_hole(method):
    image = np.full((32, 32, 3), (90, 120, 30), np.uint8)
    mask = np.zeros((32, 32, 1), np.uint8)
    mask[10:18, 12:20] = 1
    hidden = np.where(mask > 0, 255 - image, image)
    filled = opencv_inpainting(sample(gt_img=hidden, mask=mask), method)
    assert (filled[mask[..., 0] == 0] == (90, 120, 30)).all()
    assert np.abs(filled.astype(int) - image).max() <= 3


def test_the_centre_prior_is_highest_in_the_centre():
    prior = centre_prior(sample(gt_img=np.zeros((31, 41, 1), np.uint8)))[..., 0]
    assert prior[15, 20] == prior.max() == 255
    assert (prior == prior[::-1]).all() and (prior == prior[:, ::-1]).all()
    assert prior[0, 0] == round(255 * np.exp(-4))


@pytest.fixture
def duts(tmp_path) -> Config:
    """All masks are white on the left half; one of training on both."""
    cfg = Config.fromfile(DUTS)
    for split in ('train', 'test'):
        for kind in ('Image', 'Mask'):
            (tmp_path / split / kind).mkdir(parents=True)
        for i in range(2):
            Image.fromarray(draw_photo(i)).save(tmp_path / split / 'Image' / f'{i}.png')
            mask = np.zeros((40, 48), np.uint8)
            mask[:, : 48 if split == 'train' and i else 24] = 255
            Image.fromarray(mask).save(tmp_path / split / 'Mask' / f'{i}.png')
        dataset = cfg[f'{split}_dataloader'].dataset
        dataset.update(
            data_root=str(tmp_path / split),
            data_prefix=dict(img_path='Image', seg_map_path='Mask'),
        )
    return cfg


def test_the_mean_mask_is_that_of_the_training_masks(duts):
    scores = score_baseline('mean_mask', duts)
    assert scores['mae'] == pytest.approx(0.25, abs=0.02)
    assert score_baseline('centre_prior', duts)['mae'] == pytest.approx(0.5, abs=0.01)


def test_the_tool_prints_and_writes_the_scores(photo_folder, tmp_path, capsys):
    tool, out = 'analysis_tools/baselines.py', tmp_path / 'scores.json'
    root = (
        f'test_dataloader.dataset.data_root={photo_folder}',
        'test_dataloader.dataset.data_prefix.img_path=',
    )
    call(tool, SR, 'bicubic', '--out', out, '--number', 2, '--cfg-options', *root)
    scores = json.loads(out.read_text())['bicubic']
    line = f'bicubic psnr_y_b4: {scores["psnr_y_b4"]:.4f}'
    assert line in capsys.readouterr().out
    message = refused(capsys, tool, SR, 'mean_mask', '--cfg-options', *root)
    assert 'no train_dataloader' in message
