"""The boundary benchmark over a data set: the metric, folders, ground truth files."""

import json
import os
import runpy
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from mmadm.evaluation import EdgeMetric
from mmadm.evaluation.edge import count_matches, summarize, thresholds, to_ridges
from mmadm.evaluation.edge.metric import crispness
from mmadm.utils.bsds import read_boundaries

from .two_processes import in_two_processes

TOOL = Path(__file__).parents[2] / 'tools' / 'analysis_tools' / 'eval_edges.py'


def drawing(seed: int, shape: tuple = (30, 40)) -> tuple[np.ndarray, np.ndarray]:
    """A soft 8-bit edge map, and what two annotators drew."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    gts = []
    for _ in range(2):
        centre, radius = rng.uniform(12, 18, 2), rng.uniform(6, 9)
        gts.append(abs(np.hypot(y - centre[0], x - centre[1]) - radius) < 0.6)
    distance = np.hypot(y - 15, x - 15) - 8
    soft = np.exp(-(distance**2) / 4) * rng.uniform(0.5, 1) + rng.uniform(0, 0.1, shape)
    return (soft.clip(0, 1) * 255).astype(np.uint8), np.array(gts).astype(np.uint8)


def as_sample(edges: np.ndarray, gts: np.ndarray) -> dict:
    return dict(
        pred_img=torch.from_numpy(edges)[None],
        gt_edges=torch.from_numpy(gts),
        img_path='images/a.jpg',
    )


def evaluate(samples: list[dict], **kwargs) -> dict:
    metric = EdgeMetric(num_thresholds=9, **kwargs)
    metric.process(None, samples[:1])
    metric.process(None, samples[1:])
    return metric.evaluate(len(samples))


def test_the_standard_is_suppressed_rounded_thinned_and_matched():
    drawings = [drawing(i) for i in range(3)]
    levels = thresholds(9)
    counts = [count_matches(to_ridges(e / 255), t, levels, 0.04) for e, t in drawings]
    expected = summarize(np.array(counts), levels)
    scores = evaluate([as_sample(*d) for d in drawings], max_dist=0.04)
    assert scores.pop('ac') == pytest.approx(
        np.mean([crispness(e / 255) for e, _ in drawings])
    )
    assert scores == {f'{key}_seval': value for key, value in expected.items()}
    assert 0.3 < scores['ods_seval'] < 1


@pytest.mark.parametrize(
    ('nms', 'thin', 'name'),
    [(False, False, 'ceval'), (False, True, 'thin'), (True, False, 'nms')],
)
def test_other_protocols_have_other_names_and_scores(nms, thin, name):
    samples = [as_sample(*drawing(0))]
    scores = evaluate(samples, nms=nms, thin=thin)
    assert f'ods_{name}' in scores
    assert scores[f'ods_{name}'] != evaluate(samples)['ods_seval']


def test_three_channels_are_averaged():
    edges, gts = drawing(0)
    grey = as_sample(edges, gts)
    colour = grey | dict(pred_img=grey['pred_img'].repeat(3, 1, 1))
    assert evaluate([colour]) == evaluate([grey])


def test_empty_maps_do_not_spoil_the_mean_crispness():
    edges, gts = drawing(0)
    empty = as_sample(0 * edges, gts)
    full = as_sample(edges, gts)
    assert evaluate([empty, full])['ac'] == evaluate([full])['ac'] > 0
    assert evaluate([empty])['ac'] == 0


def test_the_metric_serves_epoch_after_epoch():
    metric = EdgeMetric(num_thresholds=5)
    scores = []
    for _ in range(2):
        metric.process(None, [as_sample(*drawing(0))])
        scores.append(metric.evaluate(1))
    assert scores[0] == scores[1]


def test_two_processes_score_as_one(tmp_path):
    """Three samples over two ranks: MMEngine pads the second with sample 0."""
    samples = [as_sample(*drawing(i)) for i in range(3)]
    alone = evaluate(samples)
    shares = [(0, 2), (1, 0)]

    def work(rank: int) -> dict:
        metric = EdgeMetric(num_thresholds=9, num_workers=1)
        metric.process(None, [samples[i] for i in shares[rank]])
        return metric.evaluate(3)

    assert in_two_processes(tmp_path, work) == [alone, alone]


def test_samples_that_cannot_be_scored_are_refused():
    edges, gts = drawing(0)
    sample = as_sample(edges, gts)
    with pytest.raises(
        ValueError, match=r'a\.jpg have the size \(15, 20\).*\(30, 40\)'
    ):
        evaluate([sample | dict(pred_img=sample['pred_img'][:, ::2, ::2])])
    sample.pop('gt_edges')
    with pytest.raises(ValueError, match=r'a\.jpg has no gt_edges'):
        evaluate([sample])


def test_an_error_of_a_thread_is_raised_once():
    metric = EdgeMetric(num_thresholds=5)
    broken = as_sample(*drawing(0))
    broken['gt_edges'] = broken['gt_edges'][0]  # the annotators are missing
    with pytest.raises(ValueError):
        metric.process(None, [broken])
        metric.evaluate(1)


def test_senseless_settings_are_refused():
    with pytest.raises(ValueError, match='max_dist=0'):
        EdgeMetric(max_dist=0)
    with pytest.raises(ValueError, match='num_thresholds='):
        EdgeMetric(num_thresholds=1)
    with pytest.raises(ValueError, match='radius=0'):
        EdgeMetric(radius=0)


# Ground truth


def write_gt(path: Path, maps: list[np.ndarray]) -> None:
    """As the release does: a cell of structs."""
    cells = np.empty((1, len(maps)), object)
    for i, boundaries in enumerate(maps):
        cells[0, i] = dict(Segmentation=np.ones((2, 2)), Boundaries=boundaries)
    savemat(path, dict(groundTruth=cells), do_compression=True)


def test_ground_truth_has_all_annotators(tmp_path):
    gts = drawing(0)[1]
    write_gt(tmp_path / 'a.mat', list(gts))
    read = read_boundaries(tmp_path / 'a.mat')
    assert read.dtype == np.uint8
    assert (read == gts).all()


def test_real_ground_truth_has_five_annotators(data_root):
    folder = data_root / 'BSDS500' / 'data' / 'groundTruth' / 'test'
    gts = read_boundaries(folder / '100007.mat')
    assert gts.shape[1:] in {(321, 481), (481, 321)}
    assert set(np.unique(gts)) == {0, 1}
    assert gts.any(axis=(1, 2)).all()


def test_what_is_no_ground_truth_is_refused_by_name(tmp_path):
    path = tmp_path / 'a.mat'
    with pytest.raises(FileNotFoundError, match=r'a\.mat'):
        read_boundaries(path)
    contents = [
        lambda: path.write_bytes(b''),
        lambda: path.write_text('no MATLAB file' * 20),
        lambda: savemat(path, dict(other=np.ones(3))),
        lambda: savemat(path, dict(groundTruth=np.ones((4, 4)))),
        lambda: write_gt(path, []),
        lambda: write_gt(path, [np.ones((4, 4)), np.ones((5, 4))]),
        lambda: (write_gt(path, [np.ones((40, 40))]), cut(path)),
        lambda: (write_gt(path, [drawing(0)[0]]), spoil(path)),
    ]
    for write in contents:
        write()
        with pytest.raises(ValueError, match=r'No ground truth of BSDS500.*a\.mat'):
            read_boundaries(path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def spoil(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-20] ^= 255
    path.write_bytes(content)


# The tool


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path]:
    """Three predictions and their ground truth."""
    preds, gts = tmp_path / 'preds', tmp_path / 'gts'
    preds.mkdir()
    gts.mkdir()
    for i in range(3):
        edges, maps = drawing(i)
        Image.fromarray(edges).save(preds / f'{i}.png')
        write_gt(gts / f'{i}.mat', list(maps))
    return preds, gts


def run_tool(monkeypatch, *args) -> None:
    monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, args)])
    runpy.run_path(str(TOOL), run_name='__main__')


def test_the_tool_writes_the_official_files(folders, tmp_path, monkeypatch):
    out = tmp_path / 'out'
    run_tool(monkeypatch, *folders, '--out', out, '--thresholds', 9)
    scores = evaluate([as_sample(*drawing(i)) for i in range(3)])
    assert json.loads((out / 'scores.json').read_text()) == scores

    bdry = np.loadtxt(out / 'eval_bdry.txt')
    keys = ('ods_threshold', 'ods_recall', 'ods_precision', 'ods')
    keys += ('ois_recall', 'ois_precision', 'ois', 'ap')
    assert bdry == pytest.approx([scores[f'{key}_seval'] for key in keys], abs=1e-6)
    by_threshold = np.loadtxt(out / 'eval_bdry_thr.txt')
    assert by_threshold.shape == (9, 4)
    assert by_threshold[:, 3].max() <= scores['ods_seval'] + 1e-6
    assert np.loadtxt(out / 'eval_bdry_img.txt')[:, 0].tolist() == [1, 2, 3]
    edges, gts = drawing(1)
    rows = np.loadtxt(out / '1_ev1.txt')
    assert rows[:, 0] == pytest.approx(thresholds(9))
    counts = count_matches(to_ridges(edges / 255), gts, thresholds(9))
    assert (rows[:, 1:] == counts).all()
    assert Image.open(out / 'eval_bdry.png').size[0] > 300


def test_the_tool_counts_again_only_what_is_new(folders, tmp_path, monkeypatch):
    out = tmp_path / 'out'
    options = (*folders, '--out', out, '--thresholds', 9)
    run_tool(monkeypatch, *options)
    # Marked counts show which files were read, and which written anew.
    for i in range(3):
        rows = np.loadtxt(out / f'{i}_ev1.txt')
        rows[:, 1:] = 7
        np.savetxt(out / f'{i}_ev1.txt', rows, fmt='%g')
    later = (out / '1_ev1.txt').stat().st_mtime + 10
    os.utime(folders[0] / '1.png', (later, later))
    run_tool(monkeypatch, *options)
    marked = [(np.loadtxt(out / f'{i}_ev1.txt')[:, 1:] == 7).all() for i in range(3)]
    assert marked == [True, False, True]


def test_counts_of_other_maps_are_not_taken_for_these(
    folders, tmp_path, monkeypatch, capsys
):
    """Neither of another folder, nor of older files that were copied to this one."""
    preds, gts = folders
    out, old = tmp_path / 'out', tmp_path / 'old'
    options = ('--out', out, '--thresholds', 9)
    old.mkdir()
    for i in range(3):
        Image.new('L', (40, 30)).save(old / f'{i}.png')
        os.utime(old / f'{i}.png', (1e9, 1e9))
    run_tool(monkeypatch, preds, gts, *options)
    assert 'pred_dir' in fails(capsys, monkeypatch, old, gts, *options)
    before = json.loads((out / 'scores.json').read_text())
    time.sleep(0.05)
    for path in old.iterdir():
        shutil.copy2(path, preds / path.name)
    run_tool(monkeypatch, preds, gts, *options)
    assert json.loads((out / 'scores.json').read_text())['ods_seval'] == 0
    assert before['ods_seval'] > 0


def fails(capsys, monkeypatch, *args) -> str:
    with pytest.raises(SystemExit):
        run_tool(monkeypatch, *args)
    return capsys.readouterr().err


def test_the_tool_says_what_is_wrong_before_it_counts(
    folders, tmp_path, monkeypatch, capsys
):
    preds, gts = folders
    out = tmp_path / 'out'
    options = (preds, gts, '--out', out, '--thresholds', 9)

    (gts / '2.mat').rename(tmp_path / '2.mat')
    assert 'have no partner: 2' in fails(capsys, monkeypatch, *options)
    (tmp_path / '2.mat').rename(gts / '2.mat')

    (preds / '1.png').rename(tmp_path / '1.png')
    assert 'have no partner: 1' in fails(capsys, monkeypatch, *options)
    Image.new('1', (10000, 9500)).save(preds / '1.png')
    assert 'more than 90,000,000 pixels' in fails(capsys, monkeypatch, *options)
    Image.new('L', (7, 7)).save(preds / '1.png')
    message = fails(capsys, monkeypatch, *options)
    assert '1.png has the size (7, 7)' in message and '(30, 40)' in message
    (tmp_path / '1.png').rename(preds / '1.png')

    whole = (preds / '0.png').read_bytes()
    (preds / '0.png').write_bytes(whole[:200])
    assert 'Broken image file' in fails(capsys, monkeypatch, *options)
    (preds / '0.png').write_bytes(whole)
    assert not out.exists()

    run_tool(monkeypatch, *options)
    other = fails(capsys, monkeypatch, *options, '--no-nms')
    assert 'other settings' in other and '--out' in other


def test_the_crisp_protocol_is_one_option(folders, tmp_path, monkeypatch):
    out = tmp_path / 'out'
    run_tool(monkeypatch, *folders, '--out', out, '--thresholds', 9, '--crisp')
    metric = dict(nms=False, thin=False)
    scores = evaluate([as_sample(*drawing(i)) for i in range(3)], **metric)
    assert json.loads((out / 'scores.json').read_text()) == scores
    assert 'ods_ceval' in scores


def test_a_subset_can_be_scored(folders, tmp_path, monkeypatch):
    preds, gts = folders
    (preds / '1.png').unlink()
    out = tmp_path / 'out'
    options = ('--out', out, '--thresholds', 9, '--subset')
    run_tool(monkeypatch, preds, gts, *options)
    assert sorted(p.name for p in out.glob('*_ev1.txt')) == ['0_ev1.txt', '2_ev1.txt']
