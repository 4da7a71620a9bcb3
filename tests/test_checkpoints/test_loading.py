"""Training begins from a checkpoint that fits, or it does not begin."""

import pytest
import torch

from mmadm.apis import load_config, set_resume
from mmadm.checkpoints import reading, resolve_model
from mmadm.registry import MODELS


@pytest.fixture
def other(toy_config, tmp_path):
    """A checkpoint of a wider model, and what of it would fit."""
    torch.manual_seed(1)
    width = {'model.head.base_channels': 16}
    model = MODELS.build(load_config(str(toy_config), width).model)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'other.pth')
    return tmp_path / 'other.pth', model.state_dict()


def test_weights_of_another_model_do_not_begin_a_run(make_runner, other, tmp_path):
    path, _ = other
    runner = make_runner(load_from=str(path), train_cfg__max_iters=1)
    with pytest.raises(ValueError, match='does not fit the model') as error:
        runner.train()
    assert str(path) in str(error.value) and len(str(error.value)) < 1500
    assert 'default_hooks.safe_loading.partial=True' in str(error.value)
    assert not list((tmp_path / 'run').glob('iter_*'))


def test_a_part_is_taken_where_that_is_wanted(make_runner, other, tmp_path):
    path, weights = other
    option = dict(default_hooks__safe_loading__partial=True)
    runner = make_runner(
        load_from=str(path),
        train_cfg__max_iters=1,
        optim_wrapper__optimizer__lr=0.0,
        param_scheduler__eta_min=0.0,
        **option,
    )
    runner.train()
    own = runner.model.state_dict()
    fitting = [key for key in own if own[key].shape == weights[key].shape]
    assert 0 < len(fitting) < len(own)
    assert all(torch.equal(own[key], weights[key]) for key in fitting)
    log = next((tmp_path / 'run').glob('*/*.log')).read_text()
    assert f'begins from {len(fitting)} of the {len(weights)} weights' in log

    torch.save(dict(state_dict=dict(x=torch.ones(1))), path)
    with pytest.raises(ValueError, match=r'No weight of .* fits'):
        make_runner('none', load_from=str(path), **option).train()


def test_a_plain_state_dict_is_enough_to_begin_from(make_runner, toy_config, tmp_path):
    torch.manual_seed(1)
    model = MODELS.build(load_config(str(toy_config)).model)
    torch.save(model.state_dict(), tmp_path / 'plain.pth')
    runner = make_runner(
        load_from=str(tmp_path / 'plain.pth'),
        train_cfg__max_iters=1,
        optim_wrapper__optimizer__lr=0.0,
        param_scheduler__eta_min=0.0,
    )
    runner.train()
    own = runner.model.state_dict()
    assert all(torch.equal(own[key], x) for key, x in model.state_dict().items())


def test_a_file_is_read_once_on_resume(make_runner, toy_config, tmp_path, monkeypatch):
    make_runner(train_cfg__max_iters=2).train()
    reads, read_file = [], reading.read_file

    def counted(path):
        reads.append(path)
        return read_file(path)

    monkeypatch.setattr(reading, 'read_file', counted)
    cfg = load_config(str(toy_config), dict(work_dir=str(tmp_path / 'run')))
    set_resume(cfg, 'auto')
    make_runner(resume=cfg.resume, load_from=cfg.load_from).train()
    assert reads == [tmp_path / 'run' / 'iter_2.pth']
    assert (tmp_path / 'run' / 'iter_4.pth').is_file()


def test_without_a_checkpoint_resuming_begins_from_load_from(toy_config, tmp_path):
    """The same command begins a fine-tuning, and continues it."""
    options = dict(work_dir=str(tmp_path / 'none'), load_from='adm_sr_small')
    cfg = load_config(str(toy_config), options)
    set_resume(cfg, 'auto')
    assert (cfg.resume, cfg.load_from) == (False, 'adm_sr_small')


def test_a_spoilt_state_of_training_ends_in_a_message(make_runner, tmp_path):
    """Wrong shapes of moments would abort the process in the next step."""
    make_runner(train_cfg__max_iters=2).train()
    path = tmp_path / 'run' / 'iter_2.pth'
    whole = torch.load(path, weights_only=True)

    def resume(**changes):
        torch.save(whole | changes, path)
        make_runner(resume=True, load_from=str(path)).train()

    states = whole['optimizer']['state']
    wrong = states | {0: states[0] | dict(exp_avg=torch.zeros(7))}
    with pytest.raises(ValueError, match=r'exp_avg has shape \(7,\)'):
        resume(optimizer=whole['optimizer'] | dict(state=wrong))
    with pytest.raises(ValueError, match=r'meta\.epoch'):
        resume(meta=dict(iter=2))
    with pytest.raises(ValueError, match='param_groups'):
        resume(optimizer={})
    with pytest.raises(ValueError, match='does not fit the model'):
        resume(state_dict={})
    average = {k: torch.zeros(3, 1, 2) for k in whole['ema_state_dict']}
    with pytest.raises(ValueError, match='average'):
        resume(ema_state_dict=average)


def test_a_published_model_begins_a_run_by_its_name(make_runner, monkeypatch):
    """``load_from`` takes what :func:`resolve_model` takes."""
    with pytest.raises(ValueError, match='not trained yet'):
        make_runner(load_from='adm_sr_div2k', train_cfg__max_iters=1).train()
    assert resolve_model('adm_sr_div2k').checkpoint is None
