"""An interrupted run and an uninterrupted one end alike."""

import math
import os

import pytest
import torch


def _states(path) -> dict:
    return torch.load(path, weights_only=True)


def _assert_same(a, b, place='') -> None:
    if isinstance(a, dict):
        assert a.keys() == b.keys(), place
        for key in a:
            _assert_same(a[key], b[key], f'{place}.{key}')
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b), place
    elif isinstance(a, list):
        assert len(a) == len(b), place
        for i, (x, y) in enumerate(zip(a, b)):
            _assert_same(x, y, f'{place}[{i}]')
    else:
        assert a == b, place


def _train(runner) -> None:
    """Train, and end the worker.

    A runner is left to the garbage collector together with the queue by which its
    workers hear of the end, and then torch waits five seconds for each.
    """
    runner.train()
    runner.train_loop.dataloader_iterator.batches._iterator._shutdown_workers()


def test_resuming_gives_the_weights_of_an_uninterrupted_run(make_runner, tmp_path):
    # With a worker, loading data does not touch the random state of the training.
    dropout = dict(model__head__dropout=0.3, train_dataloader__num_workers=1)
    _train(make_runner('whole', **dropout))
    stopped = dict(train_cfg__max_iters=2, param_scheduler__end=4)
    _train(make_runner('parts', **dropout, **stopped))
    resumed = make_runner(
        'parts', **dropout, resume=True, load_from=str(tmp_path / 'parts/iter_2.pth')
    )
    _train(resumed)

    whole = _states(tmp_path / 'whole' / 'iter_4.pth')
    parts = _states(tmp_path / 'parts' / 'iter_4.pth')
    for key in ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers'):
        _assert_same(whole[key], parts[key], key)
    scalars = [x['message_hub']['log_scalars'] for x in (whole, parts)]
    for key in ('train/loss', 'train/lr', 'train/grad_norm'):
        _assert_same(scalars[0][key], scalars[1][key], key)


def test_another_seed_gives_other_weights(make_runner, tmp_path):
    make_runner('a', randomness__seed=1).train()
    make_runner('b', randomness__seed=2).train()
    a, b = (_states(tmp_path / name / 'iter_4.pth')['state_dict'] for name in 'ab')
    assert any(not torch.equal(a[key], b[key]) for key in a)


def test_data_workers_do_not_change_the_result(make_runner, tmp_path):
    make_runner('none').train()
    _train(make_runner('two', train_dataloader__num_workers=2))
    none, two = (
        _states(tmp_path / name / 'iter_4.pth')['state_dict']
        for name in ('none', 'two')
    )
    _assert_same(none, two)


# Resuming with a changed config


@pytest.fixture
def resume(make_runner, tmp_path):
    """Trains two of four iterations, then goes on with other options."""
    stopped = dict(train_cfg__max_iters=2, param_scheduler__end=4)
    make_runner('run', **stopped).train()

    def go_on(spoil=None, **options):
        path = tmp_path / 'run' / 'iter_2.pth'
        if spoil is not None:
            state = _states(path)
            spoil(state)
            torch.save(state, path)
        runner = make_runner('run', **options, resume=True, load_from=str(path))
        runner.train()
        log = next(iter(sorted((tmp_path / 'run').glob('*/*.log'))[::-1])).read_text()
        return runner, log

    return go_on


def _rates(runner) -> list[float]:
    return runner.message_hub.get_scalar('train/lr').data[0].tolist()


def _poly(i: int, end: int, lr: float = 1e-3, lowest: float = 2e-5) -> float:
    return max(lr * (1 - i / end) ** 0.96, lowest)


def test_a_longer_training_has_a_longer_schedule(resume):
    runner, log = resume(train_cfg__max_iters=8)
    expected = [_poly(i, 4) for i in range(2)] + [_poly(i, 8) for i in range(2, 8)]
    assert _rates(runner) == pytest.approx(expected, rel=1e-9)
    assert 'train_cfg.max_iters: 2 -> 8' in log


def test_a_changed_optimizer_takes_effect(resume):
    settings = dict(lr=5e-4, weight_decay=0.5, betas=(0.8, 0.9))
    options = {f'optim_wrapper__optimizer__{k}': v for k, v in settings.items()}
    runner, log = resume(**options)
    assert _rates(runner)[2:] == pytest.approx([_poly(i, 4, 5e-4) for i in (2, 3)])
    (group,) = runner.optim_wrapper.optimizer.param_groups
    assert (group['weight_decay'], group['betas']) == (0.5, (0.8, 0.9))
    assert 'optim_wrapper.optimizer.lr: 0.001 -> 0.0005' in log


def test_another_schedule_begins_at_the_iteration_of_the_run(resume):
    """Also one that MMEngine computes from its last value, after a warm-up."""
    warmup = dict(type='LinearLR', start_factor=0.1, end=3, by_epoch=False)
    cosine = dict(type='CosineAnnealingLR', begin=3, by_epoch=False)
    schedule = dict(param_scheduler=[warmup, cosine], train_cfg__max_iters=6)
    runner, _ = resume(**schedule)
    steps = [1e-3 * (0.1 + 0.9 * i / 2) for i in range(3)]
    steps += [1e-3 * (1 + math.cos(math.pi * i / 3)) / 2 for i in range(3)]
    assert _rates(runner)[2:] == pytest.approx(steps[2:], rel=1e-6)


def test_the_state_of_the_schedule_is_not_needed(resume):
    runner, _ = resume(lambda state: state.update(param_schedulers=[]))
    assert _rates(runner) == pytest.approx([_poly(i, 4) for i in range(4)])


def test_another_seed_takes_effect(resume):
    runner, log = resume(randomness__seed=7)
    assert runner.seed == runner.train_dataloader.sampler.seed == 7
    assert 'randomness.seed: 0 -> 7' in log


def test_what_has_no_effect_is_in_one_warning(resume):
    _, log = resume(model__head__init_cfg=dict(type='Kaiming'), train_cfg__max_iters=1)
    (warning,) = [x for x in log.splitlines() if 'no effect' in x]
    assert 'WARNING' in warning
    assert 'model.head.init_cfg' in warning and 'train_cfg.max_iters: 1' in warning


def test_nothing_is_reported_where_nothing_changed(resume):
    _, log = resume(param_scheduler__end=4, train_cfg__max_iters=2)
    assert 'changed' not in log.lower()


def test_one_switch_selects_deterministic_algorithms(make_runner, monkeypatch):
    monkeypatch.delenv('CUBLAS_WORKSPACE_CONFIG', raising=False)
    benchmark = torch.backends.cudnn.benchmark
    try:
        runner = make_runner(randomness__deterministic=True, train_cfg__max_iters=1)
        runner.train()
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.backends.cudnn.benchmark
        assert os.environ['CUBLAS_WORKSPACE_CONFIG'] == ':4096:8'
    finally:
        torch.use_deterministic_algorithms(False)
        torch.backends.cudnn.deterministic = False
        torch.backends.cudnn.benchmark = benchmark
