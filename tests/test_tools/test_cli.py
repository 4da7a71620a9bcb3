"""The tools, called as users call them."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer
from PIL import Image

from mmadm.apis import load_config
from mmadm.checkpoints import publish_model
from mmadm.visualization import DiffusionVisualizer
from tests.conftest import draw_photo

ROOT = Path(__file__).parent.parent.parent


LOST_BASE = """\
from mmengine.config import read_base
with read_base():
    from .nothing import *
"""


def call(tool: str, *args) -> None:
    """Run a tool in this process, with a command line."""
    argv = sys.argv
    sys.argv = [tool, *map(str, args)]
    # MMEngine names a run by the second of its start; two of these fit into one.
    for kind in (DefaultScope, MessageHub, MMLogger, Visualizer, DiffusionVisualizer):
        kind._instance_dict.clear()
    try:
        runpy.run_path(str(ROOT / 'tools' / tool), run_name='__main__')
    finally:
        sys.argv = argv


def refused(capsys, tool: str, *args) -> str:
    """The message of a tool that exits with code 1."""
    with pytest.raises(SystemExit) as exit_info:
        call(tool, *args)
    assert exit_info.value.code == 1
    message = capsys.readouterr().err
    assert 'Traceback' not in message
    return message


def launch(tool: str, *args) -> None:
    """Run a tool in two processes, by torchrun."""
    start = [sys.executable, '-m', 'torch.distributed.run', '--standalone']
    command = [*start, '--nproc_per_node=2', str(ROOT / 'tools' / tool)]
    command += [*map(str, args), '--launcher', 'pytorch']
    environment = dict(os.environ, OMP_NUM_THREADS='1')
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]


@pytest.fixture
def checkpoint(toy_config, tmp_path) -> Path:
    """Two iterations of the toy model."""
    call('train.py', toy_config, '--work-dir', tmp_path / 'trained', '--seed', 3)
    return tmp_path / 'trained' / 'iter_4.pth'


def test_test_writes_table_scores_and_images(checkpoint, toy_config, tmp_path, capsys):
    shown, scores = tmp_path / 'shown', tmp_path / 'deep' / 'scores.json'
    options = ('--show-dir', shown, '--out', scores, '--work-dir', tmp_path / 'w')
    call('test.py', toy_config, checkpoint, '--num-steps', 2, 3, *options)

    results = json.loads(scores.read_text())
    assert results.keys() == {'2', '3'}
    assert results['2']['psnr_rgb'] != results['3']['psnr_rgb']
    assert results['2']['bicubic:psnr_rgb'] == results['3']['bicubic:psnr_rgb']
    table = capsys.readouterr().out
    assert f'{results["3"]["psnr_rgb"]:.4f}' in table and 'bicubic' in table

    # Condition, bicubic, two predictions, ground truth: five columns of 48 pixels,
    # which are enlarged twice.
    sheet = Image.open(shown / 'comparison.png')
    assert sheet.size == (5 * 96 + 4 * 4, 5 * (80 + 22) + 4 * 4)
    last = np.array(sheet)[22:102:2, -96::2]
    assert (last == draw_photo(0)).all(), 'the ground truth is the last column'
    assert len(list((shown / 'ADM 2').glob('*.png'))) == 5
    trajectory = Image.open(shown / 'trajectory.png')
    assert trajectory.size == (3 * 96 + 2 * 4, 2 * (80 + 22) + 4)


@pytest.mark.parametrize(
    'options',
    [
        ('--sampler', 'multistep'),
        ('--sampler', 'deterministic'),
        ('--tta', '--show-dir', 'shown'),
        ('--amp',),
        ('--seed', 7),
    ],
    ids=lambda options: options[0] + str(options[-1]),
)
def test_options_of_test_change_the_prediction(
    checkpoint, toy_config, tmp_path, options, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    work = ('--work-dir', tmp_path / 'w', '--num-steps', 2, '--out')
    call('test.py', toy_config, checkpoint, *work, tmp_path / 'a.json')
    call('test.py', toy_config, checkpoint, *work, tmp_path / 'b.json', *options)
    a, b = (json.loads((tmp_path / f'{x}.json').read_text())['2'] for x in 'ab')
    assert a['bicubic:psnr_rgb'] == b['bicubic:psnr_rgb']
    assert a['psnr_rgb'] != b['psnr_rgb']
    if options == ('--amp',):
        assert torch.get_autocast_dtype('cuda') == torch.bfloat16


def test_the_checkpoint_is_tested_not_what_its_training_began_from(
    checkpoint, toy_config, tmp_path
):
    """The config of a fine-tuning names other weights as ``load_from``."""
    weights = torch.load(checkpoint, weights_only=True)['state_dict']
    start = {key: torch.zeros_like(value) for key, value in weights.items()}
    torch.save(start, tmp_path / 'start.pth')
    tuned = toy_config.with_name('tuned.py')
    tuned.write_text(
        'from mmengine.config import read_base\nwith read_base():\n'
        f'    from .toy import *\nload_from = {str(tmp_path / "start.pth")!r}\n'
    )
    work = ('--num-steps', 1, '--work-dir', tmp_path / 'w', '--out')
    call('test.py', toy_config, checkpoint, *work, tmp_path / 'a.json')
    call('test.py', tuned, checkpoint, *work, tmp_path / 'b.json')
    a, b = (json.loads((tmp_path / f'{x}.json').read_text())['1'] for x in 'ab')
    assert a['psnr_rgb'] == b['psnr_rgb']


def test_a_published_file_is_tested_like_its_checkpoint(
    checkpoint, toy_config, photo_folder, tmp_path
):
    cfg = load_config(str(toy_config))
    path = publish_model(checkpoint, tmp_path / 'toy.safetensors', cfg, half=False)
    work = ('--num-steps', 2, '--work-dir', tmp_path / 'w', '--out')
    call('test.py', toy_config, checkpoint, *work, tmp_path / 'a.json')
    # A published file holds no folder of the machine that it was made on.
    data = f'test_dataloader.dataset.data_root={photo_folder}'
    call('test.py', path, *work, tmp_path / 'b.json', '--cfg-options', data)
    a, b = (json.loads((tmp_path / f'{x}.json').read_text()) for x in 'ab')
    assert a['2']['psnr_rgb'] == b['2']['psnr_rgb']


def test_a_model_without_weights_is_refused(toy_config, capsys):
    assert 'no trained weights' in refused(capsys, 'test.py', toy_config)


def test_predictions_are_dumped(checkpoint, toy_config, tmp_path):
    out = tmp_path / 'pred.pkl'
    options = ('--out', out, '--out-item', 'pred', '--work-dir', tmp_path / 'w')
    call('test.py', toy_config, checkpoint, '--num-steps', 1, *options)
    from mmengine.fileio import load

    samples = load(out)
    assert [sample['sample_idx'] for sample in samples] == list(range(5))
    assert samples[0]['pred_img'].dtype == torch.uint8


def test_predictions_are_dumped_as_images(checkpoint, toy_config, tmp_path):
    out = tmp_path / 'pred'
    options = ('--out', out, '--out-item', 'pred', '--work-dir', tmp_path / 'w')
    call('test.py', toy_config, checkpoint, '--num-steps', 1, *options)
    assert sorted(path.name for path in out.iterdir()) == [
        f'photo_{i}.png' for i in range(5)
    ]


def test_train_takes_every_option(toy_config, tmp_path):
    work = tmp_path / 'work'
    options = ('--amp', '--no-validate', '--auto-scale-lr', '--seed', '5')
    override = ('--cfg-options', 'auto_scale_lr.base_batch_size=4')
    call('train.py', toy_config, '--work-dir', work, *options, *override)
    scalars = next(work.glob('*/vis_data/scalars.json')).read_text().splitlines()
    assert json.loads(scalars[0])['lr'] == pytest.approx(1e-3 * 2 / 4)

    call('train.py', toy_config, '--work-dir', work, '--resume', *override)
    call('train.py', toy_config, '--work-dir', work, '--resume', work / 'iter_2.pth')


def losses_of(work_dir: Path) -> list[float]:
    """The logged losses of a training."""
    (path,) = work_dir.glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line['loss'] for line in lines if 'loss' in line]


def test_two_processes_train_and_score_like_one(toy_config, tmp_path):
    """Two ranks with batch size 2 train on the same data as one with batch size 4."""
    scores = {}
    for processes, batch in ((1, 4), (2, 2)):
        work = tmp_path / f'ranks_{processes}'
        size = ('--cfg-options', f'train_dataloader.batch_size={batch}')
        run = call if processes == 1 else launch
        run('train.py', toy_config, '--work-dir', work, *size)
        out = ('--out', work / 'scores.json', '--work-dir', work, '--num-steps', 2)
        trained = tmp_path / 'ranks_1' / 'iter_4.pth'
        run('test.py', toy_config, trained, *out)
        scores[processes] = json.loads((work / 'scores.json').read_text())
    assert scores[1] == scores[2], 'five samples on two ranks, each counted once'

    curves = [losses_of(tmp_path / f'ranks_{n}') for n in (1, 2)]
    assert len(curves[0]) == 4
    assert curves[1] == pytest.approx(curves[0], rel=1e-3), 'losses of all ranks'

    one, two = (
        torch.load(tmp_path / f'ranks_{n}' / 'iter_4.pth', weights_only=True)
        for n in (1, 2)
    )
    for key, weight in one['state_dict'].items():
        torch.testing.assert_close(
            two['state_dict'][key], weight, rtol=1e-3, atol=1e-4, msg=key
        )


def test_curves_and_times_come_from_the_log(checkpoint, tmp_path, capsys):
    out = tmp_path / 'plots' / 'loss.png'
    work = checkpoint.parent
    tool = 'analysis_tools/analyze_logs.py'
    call(tool, 'plot_curve', work, '--keys', 'loss', 'loss_image', '--out', out)
    assert Image.open(out).size[0] > 500
    call(tool, 'cal_train_time', work)
    assert 'mean' in capsys.readouterr().out
    message = refused(capsys, tool, 'plot_curve', work, '--keys', 'lss', '--out', out)
    assert "['lss']" in message and 'loss_image' in message


def test_print_config_prints_inherited_entries(toy_config, capsys):
    call('misc/print_config.py', toy_config, '--cfg-options', 'train_cfg.max_iters=7')
    text = capsys.readouterr().out
    assert 'max_iters=7' in text and 'DualDecoderUNet' in text


@pytest.mark.parametrize('place', ['option', 'config'])
def test_a_tilde_is_the_home_folder(toy_config, tmp_path, monkeypatch, place):
    monkeypatch.setenv('HOME', str(tmp_path / 'home'))
    monkeypatch.chdir(tmp_path)
    short = ('--cfg-options', 'train_cfg.max_iters=2')
    if place == 'option':
        call('train.py', toy_config, '--work-dir=~/work', *short)
    else:
        call('train.py', toy_config, *short, 'work_dir=~/work')
    assert (tmp_path / 'home' / 'work' / 'iter_2.pth').is_file()
    assert not (tmp_path / '~').exists()


def test_mistakes_before_training_end_with_one_message(toy_config, tmp_path, capsys):
    def train(*options) -> str:
        work = ('--work-dir', tmp_path / 'w')
        return refused(capsys, 'train.py', toy_config, *work, *options)

    assert 'Config not found' in refused(capsys, 'train.py', tmp_path / 'no.py')
    message = train('--cfg-options', 'optim_wraper.clip_grad=None')
    assert 'optim_wraper' in message and "'optim_wrapper'" in message
    message = train('--cfg-options', 'model.head.base_chanels=16')
    assert "Did you mean 'base_channels'?" in message
    message = train('--cfg-options', 'train_dataloader.batchsize=16')
    assert "Did you mean 'batch_size'?" in message
    message = train('--cfg-options', f'train_dataloader.dataset.data_root={tmp_path}/x')
    assert 'Data folder not found' in message and f'{tmp_path}/x' in message
    (tmp_path / 'empty').mkdir()
    empty = f'train_dataloader.dataset.data_root={tmp_path}/empty'
    assert 'No image' in train('--cfg-options', empty)
    assert 'Checkpoint not found' in train('--resume', tmp_path / 'none.pth')
    assert 'auto_scale_lr.base_batch_size' in train('--auto-scale-lr')
    beyond = 'visualizer.vis_backends.2.type=Nothing'
    assert 'do not fit' in train('--cfg-options', beyond)
    assert not (tmp_path / 'w').exists() or not list((tmp_path / 'w').glob('*.pth'))


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('a.py', 'model = (', 'never closed'),
        ('a.py', 'import no_such_package\nx = no_such_package.x', 'no model'),
        ('a.py', 'train_cfg = dict()', 'no model'),
        ('a.yaml', 'model: 3', 'Python file'),
        ('a.json', '{"model": ', 'JSONDecodeError'),
        ('a.py', 'import os\nmodel = dict(x=os.environ["FOO"])', "variable 'FOO'"),
        ('a.py', 'model = dict()\nmodel.x', 'AttributeError'),
        ('a.py', LOST_BASE, 'nothing'),
    ],
)
def test_a_file_that_is_no_config_is_refused(tmp_path, capsys, name, content, message):
    (tmp_path / name).write_text(content)
    error = refused(capsys, 'train.py', tmp_path / name)
    assert message in error and str(tmp_path / name) in error


@pytest.mark.parametrize('workers', [0, 1])
def test_a_broken_image_is_named_from_any_process(
    toy_config, photo_folder, tmp_path, capsys, workers
):
    for i in range(4):
        (photo_folder / f'photo_{i}.png').write_bytes(b'not an image')
    options = ('--cfg-options', f'train_dataloader.num_workers={workers}')
    work = ('--work-dir', tmp_path / 'w')
    message = refused(capsys, 'train.py', toy_config, *work, *options)
    assert 'Broken image file' in message and 'photo_' in message
    assert len(message.splitlines()) < 6


def test_mistakes_before_testing_end_with_one_message(
    checkpoint, toy_config, photo_folder, tmp_path, capsys
):
    def test(*args) -> str:
        work = ('--work-dir', tmp_path / 'w')
        return refused(capsys, 'test.py', toy_config, *args, *work)

    assert 'but got [0]' in test(checkpoint, '--num-steps', 5, 0)
    assert 'but got [-2]' in test(checkpoint, '--num-steps', -2)
    assert 'but got [1000000000]' in test(checkpoint, '--num-steps', 10**9)
    assert 'Checkpoint not found' in test(tmp_path / 'none.pth')
    short = tmp_path / 'short.pth'
    short.write_bytes(checkpoint.read_bytes()[:5000])
    assert 'truncated or broken' in test(short)
    message = test(checkpoint, '--cfg-options', 'model.head.num_blocks=2')
    assert 'does not fit the model' in message and 'missing' in message
    dump = ('--out', tmp_path / 'p.pkl', '--out-item', 'pred', '--num-steps', 1, 2)
    assert 'one number of steps' in test(checkpoint, *dump)
    assert '--out s.txt. Give a file name that ends in .json' in test(
        checkpoint, '--out', 's.txt'
    )
    assert '--interval 0' in test(checkpoint, '--interval', 0)


def test_a_condition_of_the_wrong_size_is_refused(
    checkpoint, toy_config, tmp_path, capsys
):
    options = ('test_dataloader.dataset.pipeline.2.scale=2', '--work-dir', tmp_path)
    message = refused(
        capsys, 'test.py', toy_config, checkpoint, '--cfg-options', *options
    )
    assert '(20, 24)' in message and '(40, 48)' in message


def test_a_new_task_is_a_config_of_ten_lines(tmp_path, capsys):
    """Images in, maps out, trained for one iteration; the package does not change."""
    from tests.test_datasets.test_images import make_pairs

    root = tmp_path / 'cracks'
    for split in ('train', 'val'):
        (root / split).mkdir(parents=True)
        make_pairs(root / split, folders=('images', 'maps'))
    config = tmp_path / 'cracks.py'
    config.write_text(NEW_TASK.format(root=root))
    assert len(NEW_TASK.strip().splitlines()) <= 10
    short = (
        'train_cfg.max_iters=1',
        'train_cfg.val_interval=1',
        'train_dataloader.dataset.pipeline.1.size=32',
    )
    # Workers would take most of the time to start.
    for loader in ('train', 'val', 'test'):
        alone = ('num_workers=0', 'persistent_workers=False')
        short += tuple(f'{loader}_dataloader.{option}' for option in alone)
    call('train.py', config, '--work-dir', tmp_path / 'w', '--cfg-options', *short)
    assert (tmp_path / 'w' / 'iter_1.pth').is_file()
    scalars = next((tmp_path / 'w').glob('*/vis_data/scalars.json')).read_text()
    assert 'psnr' in scalars, 'validated with sampled maps'
    steps = ('--num-steps', 1, '--work-dir', tmp_path / 'w')
    steps += ('--cfg-options', *short)
    call('test.py', config, tmp_path / 'w' / 'iter_1.pth', *steps)


NEW_TASK = """\
from mmengine.config import read_base
with read_base():
    from mmadm.configs._base_.datasets.image_pairs import *
    from mmadm.configs._base_.default_runtime import *
    from mmadm.configs._base_.models.adm_small import *
    from mmadm.configs._base_.schedules.adamw_poly import *
train_dataloader.dataset.data_root = '{root}/train'
val_dataloader.dataset.data_root = '{root}/val'
test_dataloader.dataset.data_root = '{root}/val'
model.head.update(in_channels=1, out_channels=(1, 1))
"""
