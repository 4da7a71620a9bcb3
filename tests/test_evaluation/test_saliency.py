"""Scores of saliency maps."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import distance_transform_edt

from mmadm.evaluation import SaliencyMetric
from mmadm.evaluation import saliency_measures as measure
from mmadm.evaluation.saliency import score_map

from .two_processes import in_two_processes

TOOL = Path(__file__).parents[2] / 'tools' / 'analysis_tools' / 'eval_saliency.py'


def guess(seed: int, shape: tuple = (24, 32)) -> tuple[np.ndarray, np.ndarray]:
    """An 8-bit guess and the mask it is about, 0 and 255."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    cy, cx = rng.uniform(8, 14, 2)
    distance = np.hypot(y - cy, (x - cx) / 1.5)
    soft = 1 / (1 + np.exp(distance - 5 + rng.normal(0, 1, shape)))
    mask = np.hypot(y - cy - 1, (x - cx - 2) / 1.5) < 5.5
    return (soft * 250).astype(np.uint8), mask.astype(np.uint8) * 255


def as_sample(pred: np.ndarray, mask: np.ndarray) -> dict:
    return dict(
        pred_img=torch.from_numpy(pred)[None],
        gt_img=torch.from_numpy(mask)[None],
        img_path='images/a.jpg',
    )


def evaluate(samples: list[dict], *args, **kwargs) -> dict:
    metric = SaliencyMetric(*args, **kwargs)
    metric.process(None, samples)
    return metric.evaluate(len(samples))


def prepared(seed: int) -> tuple[np.ndarray, np.ndarray]:
    pred, mask = guess(seed)
    return pred / 255, mask > 128


# Each measure against its definition, threshold by threshold, pixel by pixel


def test_f_is_its_definition_at_each_threshold():
    pred, mask = guess(0)
    gt = mask > 128
    curve = measure.f_curve(pred, gt)
    for level in (0, 1, 60, 128, 200, 249, 255):
        found = pred >= level
        right = (found & gt).sum()
        if right == 0:
            assert curve[level] == 0
            continue
        precision, recall = right / found.sum(), right / gt.sum()
        expected = 1.3 * precision * recall / (0.3 * precision + recall)
        assert curve[level] == pytest.approx(expected)


def enhanced_alignment(found: np.ndarray, gt: np.ndarray) -> float:
    a, b = found - found.mean(), gt - gt.mean()
    alignment = 2 * a * b / (a * a + b * b + np.spacing(1))
    return ((alignment + 1) ** 2 / 4).sum() / (gt.size - 1)


def test_e_is_its_definition_at_each_threshold():
    pred, mask = guess(1)
    gt = mask > 128
    curve = measure.e_curve(pred, gt)
    for level in (0, 1, 60, 128, 200, 249, 255):
        expected = enhanced_alignment(pred >= level, gt)
        assert curve[level] == pytest.approx(expected)


def test_adaptive_scores_cut_at_twice_the_mean():
    pred, gt = prepared(2)
    found = pred >= 2 * pred.mean()
    precision, recall = gt[found].mean(), found[gt].mean()
    expected = 1.3 * precision * recall / (0.3 * precision + recall)
    assert measure.f_adaptive(pred, gt) == pytest.approx(expected)
    expected = enhanced_alignment(found, gt)
    assert measure.e_adaptive(pred, gt) == pytest.approx(expected)
    # Of a bright map, it is cut at 1.
    bright = np.where(gt, 1, 0.8)
    assert measure.f_adaptive(bright, gt) == 1


@pytest.mark.parametrize('cut', [0, 10])
def test_weighted_f_is_its_definition(cut):
    """Eq. 11 to 17 of Margolin et al., with a window of 7 x 7 numbers.

    Outside of the image, there is no error.
    """
    pred, gt = (x[cut:] for x in prepared(3))
    error = abs(pred - gt)
    distance, (rows, columns) = distance_transform_edt(~gt, return_indices=True)
    spread = np.pad(error[rows, columns], 3)
    offset = np.arange(-3, 4)
    window = np.exp(-(offset[:, None] ** 2 + offset**2) / 50)
    window /= window.sum()
    average = np.zeros_like(error)
    for y, x in np.ndindex(error.shape):
        average[y, x] = (spread[y : y + 7, x : x + 7] * window).sum()
    error = np.where(gt & (average < error), average, error)
    error = np.where(gt, error, error * (2 - 0.5 ** (distance / 5)))
    right = gt.sum() - error[gt].sum()
    precision = right / (right + error[~gt].sum())
    recall = 1 - error[gt].mean()
    expected = 2 * precision * recall / (precision + recall)
    assert measure.weighted_f(pred, gt) == pytest.approx(expected)


def test_structure_is_its_definition():
    pred, gt = prepared(4)
    mu = gt.mean()

    def evenness(values: np.ndarray) -> float:
        return 2 * values.mean() / (values.mean() ** 2 + 1 + values.std(ddof=1))

    objects = mu * evenness(pred[gt]) + (1 - mu) * evenness(1 - pred[~gt])

    rows, columns = np.nonzero(gt)
    y, x = round(rows.mean()) + 1, round(columns.mean()) + 1
    regions = 0
    for part in (np.s_[:y, :x], np.s_[:y, x:], np.s_[y:, :x], np.s_[y:, x:]):
        p, g = pred[part].ravel(), gt[part].ravel().astype(float)
        (var_p, cov), (_, var_g) = np.cov(p, g)
        below = (p.mean() ** 2 + g.mean() ** 2) * (var_p + var_g)
        regions += len(p) / gt.size * 4 * p.mean() * g.mean() * cov / below
    expected = (objects + regions) / 2
    assert measure.s_measure(pred, gt) == pytest.approx(expected)


# Ends


def test_the_ground_truth_itself_is_perfect():
    _, mask = guess(0)
    scores = evaluate([as_sample(mask, mask)])
    assert scores['mae'] == 0
    for key in ('max_f', 'adp_f', 'wf', 's', 'max_e', 'adp_e'):
        assert scores[key] == pytest.approx(1, abs=2e-3), key


def test_an_empty_mask_counts_the_background_found():
    pred = np.zeros((10, 10), np.uint8)
    pred[:2] = 255
    scores = evaluate([as_sample(pred, 0 * pred)])
    assert scores['max_f'] == scores['adp_f'] == scores['wf'] == 0
    assert scores['mae'] == pytest.approx(0.2)
    assert scores['s'] == pytest.approx(0.8)
    assert scores['adp_e'] == pytest.approx(80 / 99)


@pytest.mark.parametrize('value', [0, 255])
def test_a_mask_of_one_pixel_has_all_scores_in_range(value):
    """Dividing by the number of pixels less one would give 4.5e15."""
    one = np.full((1, 1), value, np.uint8)
    right, wrong = (evaluate([as_sample(x, one)]) for x in (one, 255 - one))
    for scores in (right, wrong):
        assert all(0 <= score <= 1 for score in scores.values()), scores
    assert right['max_e'] == pytest.approx(1) and right['mae'] == 0


@pytest.mark.parametrize('value', [np.nan, np.inf, -0.1, 255])
def test_maps_that_are_not_in_0_to_1_are_refused(value):
    pred, gt = prepared(0)
    pred[3, 3] = value
    with pytest.raises(ValueError, match=r'scored in \[0, 1\]'):
        score_map(pred, gt)


def test_a_full_mask_counts_the_foreground_found():
    pred = np.full((10, 10), 255, np.uint8)
    pred[:2] = 0
    scores = evaluate([as_sample(pred, np.full_like(pred, 255))])
    assert scores['s'] == pytest.approx(0.8)
    assert scores['adp_e'] == pytest.approx(80 / 99)


def test_empty_predictions_raise_no_warning(recwarn):
    _, mask = guess(0)
    for pred in (0 * mask, np.full_like(mask, 255)):
        for gt in (mask, 0 * mask, np.full_like(mask, 255)):
            scores = evaluate([as_sample(pred, gt)], normalize='minmax')
            assert np.isfinite(list(scores.values())).all()
    one = np.zeros_like(mask)
    one[-1, -1] = 255
    assert np.isfinite(list(evaluate([as_sample(mask, one)]).values())).all()
    assert len(recwarn) == 0


# The metric


def test_scores_are_means_over_images_and_curves_are_averaged_first():
    samples = [as_sample(*guess(i)) for i in range(3)]
    each = [score_map(*prepared(i)) for i in range(3)]
    scores = evaluate(samples)
    for key in ('mae', 'adp_f', 'wf', 's', 'adp_e'):
        assert scores[key] == pytest.approx(np.mean([s[key] for s in each]))
    curve = np.mean([s['f'] for s in each], axis=0)
    assert scores['max_f'] == pytest.approx(curve.max())
    assert scores['mean_f'] == pytest.approx(curve.mean())
    assert scores['max_f'] < np.mean([s['f'].max() for s in each])


def test_predictions_are_resized_to_the_mask():
    """Bilinear, corners not aligned: a ramp of two pixels gets its quarters."""
    ramp = np.array([[0, 200]], np.uint8)
    wide = np.array([[0, 255, 0, 0]], np.uint8)
    scores = evaluate([as_sample(ramp, wide)], ('mae',))
    assert scores['mae'] == pytest.approx(np.mean([0, 255 - 50, 150, 200]) / 255)


def test_a_mask_of_128_is_background():
    pred = np.zeros((4, 4), np.uint8)
    for value, mae in ((128, 0), (129, 1)):
        scores = evaluate([as_sample(pred, np.full_like(pred, value))], ('mae',))
        assert scores['mae'] == mae


def test_stretching_is_named():
    pred, mask = guess(0)
    dim = (pred // 2 + 20).astype(np.uint8)
    low, high = dim.min(), dim.max()
    stretched = (dim - float(low)) / (high - float(low))
    scores = evaluate([as_sample(dim, mask)], ('mae',), normalize='minmax')
    assert scores == {
        'mae_minmax': pytest.approx(abs(stretched - (mask > 0)).mean()),
    }


def test_the_authors_protocol_counts_wrong_pixels_at_384():
    pred, mask = (np.repeat(np.repeat(x, 16, 0), 12, 1) for x in guess(0))
    assert pred.shape == (384, 384)
    scores = evaluate([as_sample(pred, mask)], ('mae',), protocol='bin384')
    wrong = ((pred > 127) != (mask > 0)).mean()
    assert scores == {'mae_bin384': pytest.approx(wrong)}
    # A mask of twice the size is reduced to the same.
    large = mask.repeat(2, 0).repeat(2, 1)
    again = evaluate([as_sample(pred, large)], ('mae',), protocol='bin384')
    assert again['mae_bin384'] == pytest.approx(wrong, abs=2e-3)


def test_two_processes_score_as_one(tmp_path):
    """Three samples over two ranks: MMEngine pads the second with sample 0."""
    samples = [as_sample(*guess(i)) for i in range(3)]
    alone = evaluate(samples)
    shares = [(0, 2), (1, 0)]

    def work(rank: int) -> dict:
        metric = SaliencyMetric(num_workers=1)
        metric.process(None, [samples[i] for i in shares[rank]])
        return metric.evaluate(3)

    for scores in in_two_processes(tmp_path, work):
        assert scores == pytest.approx(alone, abs=1e-12)


def test_what_cannot_be_scored_is_refused():
    sample = as_sample(*guess(0))
    sample.pop('gt_img')
    with pytest.raises(ValueError, match=r'a\.jpg has no gt_img, which SaliencyMetric'):
        evaluate([sample])
    with pytest.raises(ValueError, match='mea'):
        SaliencyMetric(('mea',))
    with pytest.raises(ValueError, match="'bin'"):
        SaliencyMetric(protocol='bin')
    with pytest.raises(ValueError, match="'min-max'"):
        SaliencyMetric(normalize='min-max')
    with pytest.raises(ValueError, match=r'pred_img of .*a\.jpg is torch\.float32'):
        sample = as_sample(*guess(0))
        evaluate([sample | dict(pred_img=sample['pred_img'] / 255)])


# The tool, and real data


def run_tool(monkeypatch, *args) -> None:
    monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, args)])
    runpy.run_path(str(TOOL), run_name='__main__')


def test_the_tool_scores_as_the_metric(tmp_path, monkeypatch, capsys):
    for i in range(3):
        for name, array in zip(('preds', 'masks'), guess(i)):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(array).save(tmp_path / name / f'{i}.png')
    out = tmp_path / 'scores.json'
    folders = tmp_path / 'preds', tmp_path / 'masks'
    run_tool(monkeypatch, *folders, '--out', out)
    expected = evaluate([as_sample(*guess(i)) for i in range(3)])
    assert json.loads(out.read_text()) == expected

    Image.new('I;16', (8, 8)).save(tmp_path / 'preds' / '0.png')
    with pytest.raises(SystemExit):
        run_tool(monkeypatch, *folders)
    assert 'more than 8 bits per channel' in capsys.readouterr().err


def test_masks_of_0_and_1_and_hidden_files(tmp_path, monkeypatch, capsys):
    """Masks of 0 and 1 are read; hidden files do not count; classes are refused."""
    folders = tmp_path / 'preds', tmp_path / 'masks'
    for i in range(3):
        for folder, array in zip(folders, guess(i)):
            folder.mkdir(exist_ok=True)
            array = array // 255 if folder.name == 'masks' else array
            Image.fromarray(array).save(folder / f'{i}.png')
            (folder / f'._{i}.png').touch()
    out = tmp_path / 'scores.json'
    run_tool(monkeypatch, *folders, '--out', out)
    expected = evaluate([as_sample(*guess(i)) for i in range(3)])
    assert json.loads(out.read_text()) == expected

    def refused() -> str:
        with pytest.raises(SystemExit):
            run_tool(monkeypatch, *folders)
        return capsys.readouterr().err

    Image.fromarray(np.eye(24, dtype=np.uint8) * 7).save(folders[1] / '0.png')
    assert 'Not a mask' in refused()
    (folders[1] / '0.png').rename(folders[1] / '3.png')
    assert 'have no partner: 0' in refused()
    Image.fromarray(guess(0)[1]).save(folders[1] / '3.png')
    # A decompression bomb: 95 million pixels in 12 kB.
    (folders[1] / '3.png').rename(folders[1] / '0.png')
    Image.new('1', (10000, 9500)).save(folders[0] / '0.png')
    assert 'more than 90,000,000 pixels' in refused()


def test_published_scores(data_root, tmp_path, monkeypatch):
    """PySODMetrics 1.6.2 on the three pairs that it comes with."""
    folder = data_root / 'acceptance' / 'sod' / 'examples' / 'test_data'
    out = tmp_path / 'scores.json'
    options = ('--normalize', 'minmax', '--out', out)
    run_tool(monkeypatch, folder / 'preds', folder / 'masks', *options)
    assert json.loads(out.read_text()) == pytest.approx(
        {
            'mae_minmax': 0.03705558476661653,
            'max_f_minmax': 0.5886784581120638,
            'mean_f_minmax': 0.577051059518767,
            'adp_f_minmax': 0.5816750824038355,
            'wf_minmax': 0.5579812753638986,
            's_minmax': 0.9029761578759272,
            'max_e_minmax': 0.9669544828922699,
            'mean_e_minmax': 0.9566258293508704,
            'adp_e_minmax': 0.9408760066970617,
        },
        abs=1e-14,
    )
    run_tool(monkeypatch, folder / 'preds', folder / 'masks', '--out', out)
    assert json.loads(out.read_text())['mae'] == pytest.approx(0.037017, abs=5e-7)
