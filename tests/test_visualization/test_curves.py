"""Curves of logged values."""

import json
from pathlib import Path

import pytest
from PIL import Image

from mmadm.visualization.curves import name_runs, plot_curves, read_scalars


def write_log(work_dir: Path, time: str, lines: list[dict]) -> None:
    log = work_dir / time / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True)
    log.write_text('\n'.join(map(json.dumps, lines)))


def test_curves_need_a_log_and_a_known_key(tmp_path):
    with pytest.raises(FileNotFoundError, match='Log not found'):
        read_scalars(tmp_path)
    log = tmp_path / 'run' / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True)
    lines = [dict(loss=1 / i, step=i) for i in range(1, 9)]
    log.write_text('\n'.join(map(json.dumps, lines)))
    assert read_scalars(tmp_path) == lines
    plot_curves({'run': lines}, ['loss'], str(tmp_path / 'loss.png'))
    assert Image.open(tmp_path / 'loss.png').size[0] > 300
    with pytest.raises(ValueError, match=r"\['psnr'\].*loss"):
        plot_curves({'run': lines}, ['psnr'], str(tmp_path / 'no.png'))
    assert not (tmp_path / 'no.png').exists()


def test_a_resumed_run_is_one_curve(tmp_path):
    """It was stopped at 6 and resumed from the checkpoint of iteration 4."""
    write_log(tmp_path, '20260101_000000', [dict(loss=1, step=i) for i in range(1, 7)])
    write_log(tmp_path, '20260102_000000', [dict(loss=2, step=i) for i in range(5, 9)])
    lines = read_scalars(tmp_path)
    assert [line['step'] for line in lines] == list(range(1, 9))
    assert [line['loss'] for line in lines] == 4 * [1] + 4 * [2]


def test_a_corrupted_log_is_named(tmp_path):
    (tmp_path / 'scalars.json').write_text('{"loss": 1}\n{"lo')
    with pytest.raises(ValueError, match=r'Corrupted log: .*scalars\.json'):
        read_scalars(tmp_path / 'scalars.json')


def test_each_run_has_a_name_of_its_own():
    assert name_runs(['a/run', 'b/run2']) == ['run', 'run2']
    assert name_runs(['a/run', 'b/run']) == ['a/run', 'b/run']
    assert name_runs(['a', 'b'], ['ADM', 'DDPM']) == ['ADM', 'DDPM']
    for legend in (['ADM'], ['ADM', 'ADM'], ['ADM', 'DDPM', 'VP']):
        with pytest.raises(ValueError, match='there are 2 logs'):
            name_runs(['a', 'b'], legend)
    with pytest.raises(ValueError, match='given twice'):
        name_runs(['a', './a'])


def test_curves_are_not_written_to_a_folder(tmp_path):
    lines = [dict(loss=1, step=1)]
    for out in (tmp_path, tmp_path / 'loss', tmp_path / 'loss.txt'):
        with pytest.raises(ValueError, match=r'\.png'):
            plot_curves({'run': lines}, ['loss'], str(out))
    assert list(tmp_path.iterdir()) == []
