"""From a checkpoint to its FID, on the command line."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT, draw_photo
from tests.test_configs.test_ablation import write_cifar10
from tests.test_tools.test_cli import call, refused

CONFIG = """\
from mmengine.config import read_base

with read_base():
    from .adm_uncond_cifar10 import *

from mmadm.datasets import CIFAR10Images

model.head.update(base_channels=8, channel_mult=(1, 1), attention_levels=())
model.head.update(num_blocks=1)
train_dataloader.update(batch_size=2, num_workers=0, persistent_workers=False)
train_dataloader.dataset.update(data_root={root!r}, batches=('data_batch_1',))
train_cfg.update(max_iters=1, val_interval=100)
test_dataloader.update(batch_size=4)
test_dataloader.dataset.update(num_samples=5)
"""


@pytest.fixture
def config(tmp_path, monkeypatch):
    """CIFAR-10's config at toy width, where no weights of Inception are."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    write_cifar10(tmp_path)
    shutil.copytree(ROOT / 'configs', tmp_path / 'configs')
    path = tmp_path / 'configs' / 'adm' / 'toy.py'
    path.write_text(CONFIG.format(root=str(tmp_path)))
    return path


def test_samples_are_scored_alike_by_the_test_and_from_their_file(
    config, tmp_path, capsys
):
    work = ('--work-dir', tmp_path / 'work')
    call('train.py', config, *work)
    checkpoint = tmp_path / 'work' / 'iter_1.pth'
    test = (config, checkpoint, *work, '--num-steps', 1)
    message = refused(capsys, 'test.py', *test)
    assert 'Inception weights not found' in message and str(tmp_path) in message

    real, statistics = tmp_path / 'real', tmp_path / 'statistics' / 'real.npz'
    real.mkdir()
    for i in range(4):
        Image.fromarray(draw_photo(i, 48, 48)).save(real / f'{i}.png')
    random = ('--weights', 'random')
    tool = 'analysis_tools/fid_stats.py'
    call(tool, real, '--out', statistics, '--size', 32, *random)
    printed = capsys.readouterr().out
    assert 'content_sha256' in printed and 'resize: Pillow lanczos 32' in printed

    dump, scores = tmp_path / 'samples.npz', tmp_path / 'scores.json'
    evaluator = {'weights': 'random', 'reference': statistics, 'reference_count': 4}
    options = [f'test_evaluator.{key}={value}' for key, value in evaluator.items()]
    out = ('--out', dump, '--out-item', 'pred')
    call('test.py', *test, *out, '--cfg-options', *options)
    table = capsys.readouterr().out
    assert np.load(dump)['arr_0'].shape == (5, 32, 32, 3)

    tool = 'analysis_tools/eval_samples.py'
    given = (dump, '--reference', statistics, *random, '--measures', 'fid', 'is')
    call(tool, *given, '--out', scores)
    found = json.loads(scores.read_text())
    assert found.keys() == {f'{x}_random_weights' for x in ('fid5', 'is5', 'is5_std')}
    for key in found:
        assert key in table and f'{found[key]:.4f}' in table


def test_samples_are_compared_by_squeezenet_too(tmp_path, capsys, photo_folder):
    statistics, random = tmp_path / 'x.npz', ('--weights', 'random')
    tool = 'analysis_tools/fid_stats.py'
    call(tool, photo_folder, '--out', statistics, '--network', 'squeezenet', *random)
    assert 'image_size: 40x48' in capsys.readouterr().out
    tool = 'analysis_tools/eval_samples.py'
    network = ('--network', 'squeezenet', *random)
    for reference in (statistics, photo_folder):
        call(tool, photo_folder, *network, '--reference', reference)
        printed = capsys.readouterr().out
        assert 'frechet_squeezenet5_random_weights: 0.0000' in printed
    assert '--reference None' in refused(capsys, tool, photo_folder, *network)
    given = (*network, '--reference', photo_folder, '--measures', 'kid')
    assert '--measures kid' in refused(capsys, tool, photo_folder, *given)


def test_samples_are_compared_by_a_shipped_model(capsys, photo_folder):
    given = ('--network', 'adm_edge_small', '--reference', photo_folder)
    call('analysis_tools/eval_samples.py', photo_folder, *given)
    assert 'frechet_adm_edge_small5: 0.0000' in capsys.readouterr().out


def test_mistakes_are_one_message_each(tmp_path, capsys, photo_folder):
    tool = 'analysis_tools/fid_stats.py'
    out = ('--out', tmp_path / 'x.npz', '--weights', 'random')
    assert 'x.txt' in refused(capsys, tool, photo_folder, '--out', tmp_path / 'x.txt')
    assert 'not found' in refused(capsys, tool, tmp_path / 'nowhere', *out)
    assert 'distort' in refused(capsys, tool, photo_folder, *out, '--size', 32)
    assert 'at least 9' in refused(capsys, tool, photo_folder, *out, '--features', 9)
    message = refused(capsys, tool, photo_folder, *out, '--features', -1)
    assert '0 or more, but it is -1' in message
    assert '--size 0' in refused(capsys, tool, photo_folder, *out, '--size', 0)
    message = refused(capsys, tool, photo_folder, *out, '--device', 'foo')
    assert "Device not available: 'foo'" in message
    assert not (tmp_path / 'x.npz').exists()
    tool = 'analysis_tools/eval_samples.py'
    assert 'reference=None' in refused(capsys, tool, photo_folder, *out[2:])
