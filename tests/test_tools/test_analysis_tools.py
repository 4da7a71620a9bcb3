"""Tools that compare runs, draw schedules and trajectories, and measure the speed."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from mmadm.apis import load_config
from mmadm.apis.benchmark import benchmark_sampling
from mmadm.apis.run_table import describe_run, differences
from mmadm.apis.schedules import average_lengths, learning_rates, schedule_panels
from mmadm.registry import MODELS
from tests.test_tools.test_cli import call, refused
from tests.test_visualization.test_curves import write_log


def test_runs_are_compared_by_time_scores_and_settings(tmp_path, capsys):
    for name, lr, score in (('a', 1e-3, 20.5), ('b', 2e-3, 21.5)):
        lines = [dict(loss=1.0, time=0.5, step=i) for i in range(1, 21)]
        lines += [dict(psnr_rgb=19.0, time=0.1, step=10), dict(psnr_rgb=score, step=20)]
        write_log(tmp_path / name, '20260101_000000', lines)
        test = tmp_path / name / '20260102_000000'
        test.mkdir()
        (test / '20260102_000000.json').write_text('{"psnr_rgb": 22.25, "time": 0.1}')
        config = f'optim_wrapper = dict(optimizer=dict(lr={lr}))\nmax_iters = 20\n'
        (tmp_path / name / 'toy.py').write_text(config)
    run = describe_run(tmp_path / 'a')
    assert run == {
        'iterations': 20,
        'loss': 1.0,
        'seconds per iteration': 0.5,
        'hours of training': pytest.approx(10 / 3600),
        'val psnr_rgb': 20.5,
        'test psnr_rgb': 22.25,
    }
    out = tmp_path / 'runs.json'
    tool = 'analysis_tools/compare_runs.py'
    call(tool, tmp_path / 'a', tmp_path / 'b', '--out', out)
    table = capsys.readouterr().out
    assert '| val psnr_rgb ' in table and '21.5' in table
    (row,) = [line for line in table.splitlines() if 'optimizer.lr' in line]
    assert '0.001' in row and '0.002' in row and 'max_iters' not in table
    assert json.loads(out.read_text())['runs']['b']['val psnr_rgb'] == 21.5
    assert 'ends in .md' in refused(capsys, tool, tmp_path / 'a', '--out', 'x.txt')
    assert 'Log not found' in refused(capsys, tool, tmp_path / 'nothing')


def test_a_setting_that_one_config_lacks_is_a_difference():
    configs = dict(a={'x': 1, 'y.z': 2, 'work_dir': 'a'}, b={'x': 1, 'work_dir': 'b'})
    assert differences(configs) == {'y.z': dict(a='2', b='-')}


def test_schedules_are_those_of_the_training(toy_config, tmp_path, make_runner):
    options = {'train_cfg.max_iters': 10, 'default_hooks.ema.momentum': 0.25}
    cfg = load_config(str(toy_config), options)
    iterations, rates = learning_rates(cfg)
    # Sec. V-A, written here once more.
    expected = np.maximum(1e-3 * (1 - iterations / 10) ** 0.96, 2e-5)
    assert iterations.tolist() == list(range(10))
    assert rates == pytest.approx(expected)
    _, lengths = average_lengths(cfg)
    # An early average forgets at once; later its momentum is that of the config.
    assert lengths[0] == 1 and lengths[-1] == pytest.approx(4)
    cfg.default_hooks.ema = None
    assert average_lengths(cfg) is None

    _, weights, grid = schedule_panels(cfg, [4])
    (times,) = grid.curves.values()
    assert len(times[1]) == 5 and times[1][0] == 1 and times[1][-1] == 0
    t, image = weights.curves['image part']
    assert len(weights.curves) == 2
    assert (np.diff(image) <= 0).all() and image[0] > image[-1]
    assert t[0] == cfg.model.process.t_min

    out = tmp_path / 'plots' / 'schedules.png'
    tool = 'analysis_tools/plot_schedules.py'
    call(tool, toy_config, '--out', out, '--num-steps', 3, 5)
    width, height = Image.open(out).size
    assert width > 4 * height


def test_a_first_stage_has_no_such_schedules(tmp_path, capsys):
    config = 'configs/autoencoder_kl/kl_f4_demo.py'
    tool = 'analysis_tools/plot_schedules.py'
    message = refused(capsys, tool, config, '--out', tmp_path / 'x.png')
    assert 'diffusion model' in message


def test_the_benchmark_counts_steps_and_images(toy_config):
    cfg = load_config(str(toy_config))
    model = MODELS.build(cfg.model).eval()
    calls = []
    model.head.register_forward_pre_hook(lambda *_: calls.append(1))
    before = model.test_cfg
    speeds = benchmark_sampling(model, (16, 24), [1, 3], batch_size=2, repeats=2)
    assert len(calls) == (1 + 3) * (1 + 2), 'a warm-up, and two repetitions'
    assert [speed.num_steps for speed in speeds] == [1, 3]
    assert all(len(speed.seconds) == 2 for speed in speeds)
    speed = speeds[0]
    assert speed.images_per_second == pytest.approx(2 / speed.latency)
    assert model.test_cfg is before
    with pytest.raises(ValueError, match=r'multiples of 4'):
        benchmark_sampling(model, (15, 24), [1])
    with pytest.raises(ValueError, match='repeats'):
        benchmark_sampling(model, (16, 24), [1], repeats=0)


def test_the_benchmark_measures_a_config_without_weights(toy_config, tmp_path, capsys):
    out = tmp_path / 'speed.json'
    shapes = ('--shape', 16, 16, '--shape', 16, 32)
    options = ('--num-steps', 1, 2, '--repeats', 1, '--warmup', 0, '--out', out)
    call('analysis_tools/benchmark.py', toy_config, *shapes, *options)
    assert 'images/s' in capsys.readouterr().out
    speeds = json.loads(out.read_text())
    assert [(s['num_steps'], s['size']) for s in speeds] == [
        (1, [16, 16]),
        (2, [16, 16]),
        (1, [16, 32]),
        (2, [16, 32]),
    ]


def test_trajectories_have_a_row_for_each_number_of_steps(
    toy_config, photo_folder, tmp_path
):
    cfg = load_config(str(toy_config))
    weights, out = tmp_path / 'w.pth', tmp_path / 'deep' / 'trajectory.png'
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()), weights)
    options = ('--input', photo_folder / 'photo_0.png', '--out', out)
    tool = 'analysis_tools/visualize_trajectory.py'
    call(tool, toy_config, weights, *options, '--num-steps', 1, 3)
    # The larger figure has three images of 160 x 160 pixels at most, side by side.
    assert Image.open(out).size == (3 * 160 + 2 * 4, 2 * (2 * (160 + 22) + 4 + 22) + 4)


def test_the_environment_names_versions_and_machine(capsys):
    call('misc/print_env.py')
    text = capsys.readouterr().out
    for name in ('mmadm: ', f'PyTorch: {torch.__version__}', 'numpy: ', 'CPU cores: '):
        assert name in text
