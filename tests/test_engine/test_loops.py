"""One iteration is one optimizer step, however many batches are accumulated for it."""

import json

import pytest
import torch

from tests.faults import assert_same

HALVES = dict(optim_wrapper__accumulative_counts=2)
WHOLE = dict(train_dataloader__batch_size=4)
KEPT = ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers')


def _state(path) -> dict:
    state = torch.load(path, weights_only=True)
    return {key: state[key] for key in KEPT}


def _logged(work_dir) -> list[dict]:
    (path,) = work_dir.glob('*/vis_data/scalars.json')
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def twins(make_runner, tmp_path):
    """Trains with batches of 4 and with 2 x 2; checkpoints by their names, and logs."""

    def train(**options) -> list[tuple[dict, list[dict]]]:
        results = []
        for name, batch in (('halves', HALVES), ('whole', WHOLE)):
            make_runner(name, **batch, **options).train()
            files = sorted((tmp_path / name).glob('iter_*.pth'))
            states = {path.name: _state(path) for path in files}
            results.append((states, _logged(tmp_path / name)))
        return results

    return train


def test_accumulated_halves_and_one_batch_are_the_same_training(twins):
    """Same names of checkpoints, schedules, averages, logs and validations."""
    (halves, log), (whole, other_log) = twins(
        default_hooks__ema__interval=2, train_cfg__val_interval=2,
        log_processor__window_size=1,
    )  # fmt: skip
    assert halves.keys() == whole.keys() == {'iter_2.pth', 'iter_4.pth'}
    for name in whole:
        assert halves[name]['param_schedulers'] == whole[name]['param_schedulers']
        for key in ('state_dict', 'ema_state_dict'):
            torch.testing.assert_close(
                halves[name][key], whole[name][key], rtol=1e-3, atol=1e-5
            )
    steps = {int(x['step']) for x in whole['iter_4.pth']['optimizer']['state'].values()}
    assert steps == {4}
    assert len(log) == len(other_log)
    for one, two in zip(log, other_log):
        assert one.get('lr') == two.get('lr') and one['step'] == two['step']
        for key in {'loss', 'grad_norm', 'psnr_rgb'} & one.keys():
            assert one[key] == pytest.approx(two[key], rel=1e-3)


def test_the_hooks_see_all_samples_of_a_step(make_runner):
    from mmengine.hooks import Hook

    class Witness(Hook):
        batches = []

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            self.batches.append(data_batch)

    runner = make_runner(**HALVES)
    runner.register_hook(Witness())
    runner.train()
    assert [len(batch['data_samples']) for batch in Witness.batches] == [4] * 4
    assert len(Witness.batches[0]['inputs']['image']) == 4


def test_a_run_with_accumulated_batches_resumes_exactly(make_runner, tmp_path):
    # After an odd number of steps, which MMEngine would count as batches.
    options = dict(HALVES, default_hooks__checkpoint__interval=1)
    options['default_hooks__checkpoint__max_keep_ckpts'] = -1
    make_runner('whole', **options).train()
    stopped = dict(train_cfg__max_iters=1, param_scheduler__end=4)
    make_runner('parts', **options, **stopped).train()
    file = str(tmp_path / 'parts' / 'iter_1.pth')
    make_runner('parts', **options, resume=True, load_from=file).train()
    whole, parts = (_state(tmp_path / x / 'iter_4.pth') for x in ('whole', 'parts'))
    assert_same(whole, parts)


@pytest.mark.parametrize('again', [1, 2])
def test_the_learning_rate_is_scaled_to_the_batch_of_a_step(toy_config, again):
    from mmadm.apis import load_config, scale_lr

    options = {'optim_wrapper.accumulative_counts': 2, 'launcher': 'none'}
    cfg = load_config(str(toy_config), options)
    cfg.auto_scale_lr = dict(base_batch_size=8)
    for _ in range(again):
        scale_lr(cfg)
    assert cfg.optim_wrapper.optimizer.lr == 1e-3 * (2 * 2) / 8
