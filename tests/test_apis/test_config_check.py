"""Configs whose numbers or keys would mislead a run are refused."""

import pytest

from mmadm.apis import load_config


@pytest.mark.parametrize(
    ('option', 'value'),
    [
        ('optim_wrapper.clip_grad.max_norm', -1),
        ('optim_wrapper.clip_grad.max_norm', 0),
        ('optim_wrapper.clip_grad.max_norm', float('nan')),
        ('optim_wrapper.accumulative_counts', 0),
        ('optim_wrapper.accumulative_counts', 1.5),
        ('train_cfg.val_interval', 0),
        ('train_cfg.max_iters', -5),
        ('train_cfg.max_iters', True),
        ('train_dataloader.batch_size', 0),
        ('default_hooks.non_finite.interval', 0),
        ('default_hooks.stop_signal.interval', -1),
        ('default_hooks.ema.begin_iter', 2001),
        ('param_scheduler.by_epoch', True),
        ('randomness.seed', -1),
        ('randomness.seed', 2**32),
    ],
)
def test_numbers_out_of_range_are_refused(toy_config, option, value):
    with pytest.raises(ValueError, match=option.replace('.', r'\.')) as caught:
        load_config(str(toy_config), {option: value})
    assert str(value) in str(caught.value)


@pytest.mark.parametrize(
    ('option', 'meant'),
    [
        ('a.b.c', "'train_dataloader', 'tta_model'"),
        ('model.head.zzz', 'base_channels'),
        ('randomness.xyz', "['deterministic', 'diff_rank_seed', 'seed']"),
        ('modle.head', 'model'),
        ('randomness.sede', 'seed'),
        ('env_cfg.cudnn_benchmrak', 'cudnn_benchmark'),
        ('optim_wrapper.clip_grad.maxnorm', 'max_norm'),
        ('optim_wrapper.paramwise_cfg.norm_mult', 'norm_decay_mult'),
        ('optim_wrapper.paramwise_cfg.custom_keys.head.lr_mul', 'lr_mult'),
        ('default_hooks.ema.momentumm', 'momentum'),
        ('default_hooks.emma.momentum', 'ema'),
    ],
)
def test_options_that_nothing_reads_are_refused(toy_config, option, meant):
    with pytest.raises(ValueError, match=option.split('.')[-2]) as caught:
        load_config(str(toy_config), {option: 1})
    message = str(caught.value)
    assert meant in message
    # A word that resembles none is answered by all of them, and by no class.
    assert ('Did you mean' in message) is ('[' not in message)
    assert 'AdamW' not in message


@pytest.mark.parametrize('value', [5, 'heun', False])
@pytest.mark.parametrize(
    ('option', 'entry'),
    [
        ('model.sampler', 'model.sampler.type'),
        ('train_dataloader.dataset.pipeline', 'train_dataloader.dataset.pipeline.0'),
        ('train_dataloader.dataset.pipeline.1', 'train_dataloader.dataset.pipeline.1'),
        ('default_hooks.ema', 'default_hooks.ema.type'),
    ],
)
def test_entries_are_not_replaced_by_a_value(toy_config, option, entry, value):
    with pytest.raises(ValueError, match='replace by one value') as caught:
        load_config(str(toy_config), {option: value})
    assert f'{option}={value!r}' in str(caught.value)
    assert entry in str(caught.value)


def test_a_value_gets_no_entries(toy_config):
    with pytest.raises(
        ValueError, match=r'head\.num_blocks is no dict, but \d'
    ) as caught:
        load_config(str(toy_config), {'model.head.num_blocks.x': 3})
    assert 'Set model.head.num_blocks itself' in str(caught.value)


@pytest.mark.parametrize(
    ('option', 'value'),
    [
        ('load_from', 'x.pth'),
        ('model.sampler', None),
        ('model.sampler', dict(type='HeunSampler')),
        ('auto_scale_lr.base_batch_size', 4),
        ('model_wrapper_cfg', dict(type='ShardedDataParallel')),
        ('randomness.deterministic', True),
        ('default_hooks.mine', dict(type='IterTimerHook')),
        ('optim_wrapper.clip_grad', None),
        ('default_hooks.checkpoint.max_keep_ckpts', -1),
    ],
)
def test_what_mmengine_reads_is_accepted(toy_config, option, value):
    assert load_config(str(toy_config), {option: value})


@pytest.mark.parametrize('name', ['ema', 'logger', 'nonsense'])
def test_none_removes_a_hook(toy_config, name):
    hooks = load_config(str(toy_config), {f'default_hooks.{name}': None}).default_hooks
    # MMEngine puts its own hooks back if they are missing.
    assert hooks.get(name) is None and (name in hooks) is (name == 'logger')
    assert 'stop_signal' in hooks


def test_accumulation_needs_the_loop_that_counts_steps(toy_config):
    options = {'train_cfg.type': 'IterBasedTrainLoop'}
    load_config(str(toy_config), options)
    options['optim_wrapper.accumulative_counts'] = 2
    with pytest.raises(ValueError, match='OptimizerStepLoop'):
        load_config(str(toy_config), options)


def test_mmengines_scaling_would_leave_accumulated_batches_out(toy_config):
    options = {'auto_scale_lr': dict(base_batch_size=4, enable=True)}
    load_config(str(toy_config), options)
    options['optim_wrapper.accumulative_counts'] = 2
    with pytest.raises(ValueError, match='--auto-scale-lr'):
        load_config(str(toy_config), options)
