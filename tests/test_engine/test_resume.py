"""An interrupted run and an uninterrupted one end alike."""

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
    runner.train_loop.dataloader_iterator._iterator._shutdown_workers()


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


def test_accumulated_halves_equal_one_batch(make_runner, tmp_path):
    """Times, noise and crops follow the samples, so only rounding may differ."""
    constant = dict(optim_wrapper__optimizer__lr=1e-3, param_scheduler__eta_min=1e-3)
    accumulated = dict(optim_wrapper__accumulative_counts=2)
    twice = dict(train_dataloader__batch_size=4, train_cfg__max_iters=2)
    make_runner('halves', **constant, **accumulated).train()
    make_runner('whole', **constant, **twice).train()
    halves = _states(tmp_path / 'halves' / 'iter_4.pth')['ema_state_dict']
    whole = _states(tmp_path / 'whole' / 'iter_2.pth')['ema_state_dict']
    for key in whole:
        if key != 'steps':
            torch.testing.assert_close(halves[key], whole[key], rtol=1e-3, atol=1e-5)
