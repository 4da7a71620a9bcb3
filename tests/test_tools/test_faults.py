"""Runs that are killed, stopped, fed with rubbish: nothing is lost, nothing hangs."""

import atexit
import itertools
import json
import multiprocessing
import os
import signal
import socket
import time
from ctypes import c_bool
from types import SimpleNamespace

import pytest
import torch
from mmcv.transforms import BaseTransform
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import nn

from mmadm.checkpoints import read_checkpoint
from mmadm.engine import AutocastOptimWrapper, NonFiniteHook
from mmadm.engine.hooks.stop_signal import _IgnoreStopSignal
from tests.faults import (
    assert_same,
    fork,
    fork_ranks,
    kills,
    moments,
    result,
    train,
    wait,
    write_toy_config,
)
from tests.test_tools.test_cli import call, refused

SPARSE = {'default_hooks.checkpoint.interval': 100}


@pytest.fixture(scope='module')
def plain(tmp_path_factory) -> dict:
    """A run of twelve iterations that nobody disturbs."""
    folder = tmp_path_factory.mktemp('plain')
    config = write_toy_config(folder)
    assert wait(fork(lambda: train(config, folder / 'w', SPARSE), folder / 'out')) == 0
    return dict(config=config, result=result(folder / 'w'))


# Kills. benchmarks/kill_resume.py does the many.


@pytest.mark.parametrize('scenario', ['validation', 'save'])
def test_a_killed_run_ends_like_an_undisturbed_one(plain, tmp_path, scenario):
    work = tmp_path / 'w'
    for _ in kills(plain['config'], work, scenario, limit=1, seed=1):
        pass
    assert_same(plain['result'], result(work))
    assert not list(work.glob('.*.part*'))


# Signals.


def stop(process: int, scenario: str, number: int, work) -> None:
    """Send a signal in the middle of something."""
    now = moments(scenario, work)
    while not now():
        time.sleep(1e-3)
    time.sleep(0.05)
    os.kill(process, number)


@pytest.mark.parametrize(
    ('scenario', 'number'), [('step', signal.SIGUSR1), ('validation', signal.SIGTERM)]
)
def test_a_signal_saves_and_stops_and_the_run_goes_on(
    plain, tmp_path, scenario, number
):
    work = tmp_path / 'w'

    def start() -> int:
        return fork(lambda: train(plain['config'], work, SPARSE), work / 'out')

    process = start()
    stop(process, scenario, number, work)
    assert wait(process) == 0, 'a clean exit'
    (saved,) = work.glob('iter_*.pth')
    assert saved.name != 'iter_12.pth', 'before the end'
    assert 'Add --resume' in (work / 'out').read_text()
    assert wait(start()) == 0
    assert_same(plain['result'], result(work))


def test_a_signal_to_all_processes_spares_the_data_workers(plain, tmp_path):
    """As Slurm sends it. Dead workers would take the run with them."""
    work = tmp_path / 'w'
    options = {**SPARSE, 'train_dataloader.num_workers': 2}

    def lead() -> None:
        os.setpgid(0, 0)
        train(plain['config'], work, options)

    process = fork(lead, work / 'out')
    now = moments('step', work)
    while not now():
        time.sleep(1e-3)
    os.killpg(process, signal.SIGTERM)
    assert wait(process) == 0, (work / 'out').read_text()[-2000:]
    assert wait(fork(lambda: train(plain['config'], work, options), work / 'out')) == 0
    assert_same(plain['result'], result(work))


def leave_like_a_program(config, work_dir, options: dict) -> None:
    """Train, fail on request, and end as the interpreter does."""
    failed = None
    try:
        train(config, work_dir, options)
    except ValueError as error:
        failed = error
    atexit._run_exitfuncs()
    if failed is not None:
        raise failed


@pytest.mark.parametrize('code', [0, 1])
def test_a_run_does_not_wait_for_workers_that_ignore_signals(plain, tmp_path, code):
    """They get one signal to end, when the run is over or has failed."""
    loader = dict(num_workers=1, persistent_workers=True)
    options = {f'{part}_dataloader': loader for part in ('train', 'val')}
    if code:
        options['default_hooks.checkpoint.save_best'] = 'no_such_score'
    work = tmp_path / 'w'
    process = fork(
        lambda: leave_like_a_program(plain['config'], work, {**SPARSE, **options}),
        work / 'out',
    )
    assert wait(process) == code, (work / 'out').read_text()[-2000:]


def test_a_worker_that_leaves_with_its_run_has_not_failed():
    """Else each run with workers would end with a traceback."""
    context = multiprocessing.get_context('fork')
    leaving, ready = context.RawValue(c_bool, True), context.Event()

    def work() -> None:
        _IgnoreStopSignal(None, leaving)(0)
        ready.set()
        time.sleep(60)

    worker = context.Process(target=work)
    worker.start()
    assert ready.wait(30)
    worker.terminate()
    worker.join(30)
    assert worker.exitcode == 0


def test_two_ranks_stop_together_and_go_on_exactly(plain, tmp_path):
    """The signal reaches one of them only."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    options = {
        **SPARSE,
        'default_hooks.stop_signal.interval': 2,
        'model.head.dropout': 0.2,
    }
    whole, work = tmp_path / 'whole', tmp_path / 'w'
    for process in fork_ranks(plain['config'], whole, options, port):
        assert wait(process) == 0, (whole / 'out_0.txt').read_text()[-2000:]

    first, second = fork_ranks(plain['config'], work, options, port)
    stop(second, 'step', signal.SIGTERM, work)
    assert (wait(first), wait(second)) == (0, 0)
    assert [path.name for path in work.glob('iter_*.pth')] != ['iter_12.pth']
    for process in fork_ranks(plain['config'], work, options, port):
        assert wait(process) == 0
    assert_same(result(whole), result(work))


# Non-finite gradients.


class Poison(Hook):
    """Makes the gradient NaN in some iterations."""

    def __init__(self, iterations: tuple[int, ...]) -> None:
        self.iterations = iterations

    def before_train(self, runner) -> None:
        weight = next(runner.model.parameters())
        weight.register_hook(
            lambda g: g * torch.nan if runner.iter + 1 in self.iterations else g
        )


@pytest.mark.parametrize('wrapper', [OptimWrapper, AutocastOptimWrapper])
def test_a_poisoned_step_changes_nothing(make_runner, tmp_path, wrapper):
    every = dict(
        default_hooks__checkpoint__interval=1,
        default_hooks__checkpoint__max_keep_ckpts=-1,
        optim_wrapper__type=wrapper,
    )
    runner = make_runner(**every)
    runner.register_hook(Poison((2,)))
    runner.train()
    before, after, end = (
        torch.load(tmp_path / 'run' / f'iter_{i}.pth', weights_only=True)
        for i in (1, 2, 4)
    )
    # What is trained, under the name that MMEngine gives it beside an average.
    raw = [
        {k: x for k, x in state['ema_state_dict'].items() if k != 'steps'}
        for state in (before, after, end)
    ]
    assert_same(raw[0], raw[1])
    assert_same(before['optimizer']['state'], after['optimizer']['state'])
    assert any(not torch.equal(raw[1][key], raw[2][key]) for key in raw[1])
    for state in (end['state_dict'], end['ema_state_dict']):
        assert all(torch.isfinite(x).all() for x in state.values())
    counts, _ = runner.message_hub.get_scalar('train/skipped_steps').data
    assert counts.tolist() == [0, 1, 1, 1]


def test_a_gpu_skips_steps_that_are_counted_later(make_runner, monkeypatch):
    monkeypatch.setattr('mmadm.engine.hooks.nonfinite._is_readable', lambda flag: False)
    runner = make_runner(default_hooks__non_finite__interval=4)
    runner.register_hook(Poison((2,)))
    runner.train()
    counts, _ = runner.message_hub.get_scalar('train/skipped_steps').data
    assert counts.tolist() == [0, 0, 0, 1]
    assert all(p.isfinite().all() for p in runner.model.parameters())
    steps = {int(x['step']) for x in runner.optim_wrapper.optimizer.state.values()}
    assert steps == {3}
    assert not hasattr(runner.optim_wrapper.optimizer, 'found_inf')


class PoisonFirstBatch(Hook):
    """Makes the gradient of the first of all batches NaN."""

    def before_train(self, runner) -> None:
        factors = itertools.chain([torch.nan], itertools.repeat(1.0))
        weight = next(runner.model.parameters())
        weight.register_hook(lambda g: g * next(factors))


def test_all_of_an_accumulated_batch_is_skipped(make_runner, tmp_path):
    runner = make_runner(optim_wrapper__accumulative_counts=2)
    runner.register_hook(PoisonFirstBatch())
    runner.train()
    state = torch.load(tmp_path / 'run' / 'iter_4.pth', weights_only=True)
    steps = {int(x['step']) for x in state['optimizer']['state'].values()}
    assert steps == {3}, 'of four steps, three were taken'


class PoisonStatistics(Hook):
    """Shows NaN to a batch normalisation in the second iteration, ones in others."""

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        factor = torch.nan if runner.iter == 1 else 1.0
        runner.model.extra(factor * torch.ones(2, 3, 4, 4))


def test_running_statistics_forget_what_is_no_number(make_runner, tmp_path):
    runner = make_runner()
    runner.model.add_module('extra', nn.BatchNorm2d(3))
    runner.register_hook(PoisonStatistics())
    runner.train()
    state = read_checkpoint(tmp_path / 'run' / 'iter_4.pth')
    for weights in (state['state_dict'], state['ema_state_dict']):
        assert all(torch.isfinite(x).all() for x in weights.values())
    # Of four batches of ones, three count.
    assert runner.model.extra.running_mean.tolist() == pytest.approx([1 - 0.9**3] * 3)


def test_training_that_diverges_stops_and_names_the_files(make_runner, tmp_path):
    runner = make_runner(default_hooks__non_finite__max_skips_in_a_row=2)
    runner.register_hook(Poison((3, 4)))
    seen = []

    class Look(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
            seen.append([x.img_path for x in data_batch['data_samples']])

    runner.register_hook(Look())
    with pytest.raises(ValueError, match='diverged: 2 steps in a row'):
        runner.train()
    batches = json.loads((tmp_path / 'run' / 'nonfinite_batches.json').read_text())
    assert [batch['iter'] for batch in batches] == [3, 4]
    assert [batch['files'] for batch in batches] == seen[2:]
    assert float(batches[0]['loss']) > 0
    weights = read_checkpoint(tmp_path / 'run' / 'iter_2.pth')['state_dict']
    assert all(torch.isfinite(x).all() for x in weights.values())


@pytest.mark.parametrize(
    'make',
    [
        lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.1),
        lambda p: torch.optim.AdamW(p, 0.1),
        lambda p: torch.optim.AdamW(p, 0.1, fused=True),
        lambda p: torch.optim.Adam(p, 0.1, amsgrad=True, foreach=True),
    ],
    ids=['SGD', 'AdamW', 'fused', 'foreach'],
)
@pytest.mark.parametrize('bad', [torch.nan, torch.inf, -torch.inf])
def test_each_of_several_optimizers_is_guarded(make, bad):
    parts = [nn.Linear(3, 3), nn.Linear(3, 3)]
    wrappers = [OptimWrapper(make(part.parameters())) for part in parts]
    guarded = OptimWrapperDict(first=wrappers[0], second=wrappers[1])
    NonFiniteHook().before_train(SimpleNamespace(optim_wrapper=guarded))

    def step(factor: float) -> list:
        for wrapper, part, scale in zip(wrappers, parts, (1.0, factor)):
            wrapper.update_params(part(torch.ones(2, 3)).square().sum() * scale)
        states = [wrapper.optimizer.state_dict()['state'] for wrapper in wrappers]
        values = [part.state_dict() for part in parts]
        return [
            {k: x.clone() for k, x in value.items()}
            | {f'{k}{n}': x for k, s in state.items() for n, x in s.items()}
            for value, state in zip(values, states)
        ]

    def kept(state: dict) -> dict:
        return {k: x.clone() if torch.is_tensor(x) else x for k, x in state.items()}

    before = [kept(state) for state in step(1.0)]
    after = step(bad)
    assert_same(before[1], after[1])
    assert not torch.equal(before[0]['weight'], after[0]['weight']), 'the other goes on'


# Images.


def scalars(work, key: str) -> list:
    lines = next(work.glob('*/vis_data/scalars.json')).read_text().splitlines()
    return [line[key] for line in map(json.loads, lines) if key in line]


@pytest.mark.parametrize('damage', ['cut', 'missing'])
def test_a_broken_image_is_replaced_named_once_and_counted(
    make_runner, photo_folder, tmp_path, capsys, damage
):
    path = photo_folder / 'photo_3.png'
    short = dict(val_cfg=None, val_dataloader=None, val_evaluator=None)
    runners = [
        make_runner(
            name, **short, train_dataloader__num_workers=n, train_cfg__max_iters=6
        )
        for name, n in (('none', 0), ('one', 1))
    ]
    listed = [len(runner.train_loop.dataloader.dataset) for runner in runners]
    content = {'cut': path.read_bytes()[:200]}
    path.write_bytes(content[damage]) if damage in content else path.unlink()
    for runner in runners:
        runner.train()
    assert listed == [5, 5], 'the file was there when the folder was read'
    printed = capsys.readouterr().out
    assert str(path) in printed
    assert printed.count('Another image is used instead') == 2, 'once by each run'
    weights = [
        torch.load(tmp_path / name / 'iter_6.pth', weights_only=True)['state_dict']
        for name in ('none', 'one')
    ]
    assert_same(dict(weights[0]), dict(weights[1]))
    assert max(scalars(tmp_path / 'none', 'broken_images')) == 1


def test_what_another_process_finds_is_named_too(make_runner, capsys, monkeypatch):
    """The logs of all but the first process say nothing of a warning."""
    other = 'Broken image file: of_rank_1.png.'
    monkeypatch.setattr(
        'mmadm.engine.hooks.broken_images.all_gather_object',
        lambda mine: [mine, [other, other]],
    )
    make_runner(default_hooks__broken_images__interval=2).train()
    assert capsys.readouterr().out.count(other) == 1


def test_too_many_broken_images_end_the_run(make_runner, photo_folder):
    runner = make_runner(train_cfg__max_iters=30)
    for i in (1, 2):
        (photo_folder / f'photo_{i}.png').write_bytes(b'no image')
    with pytest.raises(ValueError, match=r'2 of 5 .* 1% .*photo_[12].*photo_[12]'):
        runner.train()


# Workers.


class Disturb(BaseTransform):
    """Kills its process, or sleeps."""

    def __init__(self, seconds: float = 0) -> None:
        self.seconds = seconds

    def transform(self, results: dict) -> dict:
        if not self.seconds:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.seconds)
        return results


@pytest.mark.parametrize(
    ('seconds', 'message'),
    [(0, 'killed by signal|exited'), (6, 'timed out after 1 seconds')],
)
def test_dead_and_stuck_workers_are_errors(make_runner, tmp_path, seconds, message):
    def run() -> None:
        runner = make_runner(
            train_dataloader__num_workers=1, train_dataloader__timeout=1
        )
        dataset = runner.train_dataloader.dataset
        dataset.pipeline.transforms.insert(0, Disturb(seconds))
        with pytest.raises(RuntimeError, match=message):
            runner.train()

    # torch reports a dead worker by an error from a signal handler: anywhere.
    output = tmp_path / 'output.txt'
    assert wait(fork(run, output)) == 0, output.read_text()[-2000:]


# Tools.


def test_the_tools_run_nothing_in_a_checkpoint_unless_trusted(
    toy_config, tmp_path, capsys
):
    work = tmp_path / 'w'
    call('train.py', toy_config, '--work-dir', work)
    checkpoint = torch.load(work / 'iter_2.pth', weights_only=True)
    bad, trace = work / 'bad.pth', tmp_path / 'trace'
    from tests.test_checkpoints.test_safety import Payload

    torch.save(dict(checkpoint, extra=Payload(open, str(trace), 'w')), bad)
    resume = ('train.py', toy_config, '--work-dir', work, '--resume', bad)
    test = ('test.py', toy_config, bad, '--work-dir', work, '--num-steps', 1)
    load = ('train.py', toy_config, '--work-dir', work)
    load = (*load, '--cfg-options', f'load_from={bad}')
    for command in (resume, test, load):
        assert '--trust-checkpoint' in refused(capsys, *command)
    assert not trace.exists()
    for command in (resume, test):
        call(*command, '--trust-checkpoint')
        assert trace.exists()
        trace.unlink()


def test_training_writes_events_at_the_step_they_are_of(toy_config, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    validated = ('--cfg-options', 'train_cfg.val_interval=2')
    call('train.py', toy_config, '--work-dir', tmp_path / 'w', *validated)
    (file,) = (tmp_path / 'w').glob('*/vis_data/events.*')
    events = EventAccumulator(str(file)).Reload()
    assert [e.step for e in events.Scalars('loss')] == [1, 2, 3, 4]
    assert [e.step for e in events.Scalars('psnr_rgb')] == [2, 4]
    assert {'grad_norm', 'skipped_steps', 'image_mse_t1'} & set(
        events.Tags()['scalars']
    )
