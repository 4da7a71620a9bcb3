"""Checkpoints: safe to read, plain inside, refused when they do not fit."""

import pickle

import pytest
import torch
from mmengine.logging import HistoryBuffer
from torch import nn

from mmadm.checkpoints import load_weights, publish_weights, read_checkpoint
from mmadm.checkpoints.plain_data import from_plain, to_plain
from mmadm.checkpoints.weights import scaling
from mmadm.models import ADM


class Payload:
    """Touches a file when it is unpickled the usual way."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return open, (self.path, 'w')


def test_a_file_that_would_run_code_is_refused_and_runs_nothing(tmp_path):
    path, trace = tmp_path / 'bad.pth', tmp_path / 'trace'
    torch.save(dict(state_dict={}, extra=Payload(str(trace))), path)
    with pytest.raises(ValueError, match='Refused to load'):
        read_checkpoint(path)
    assert not trace.exists()
    torch.load(path, weights_only=False)
    assert trace.exists(), 'the payload works, so its silence above means something'


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'not found: .*none\.pth'):
        read_checkpoint(tmp_path / 'none.pth')


@pytest.mark.parametrize('share', [0.1, 0.5, 0.95])
def test_a_truncated_file_is_noticed(tmp_path, share):
    path = tmp_path / 'half.pth'
    torch.save(dict(state_dict=nn.Linear(50, 50).state_dict()), path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ValueError, match='truncated or broken'):
        read_checkpoint(path)


@pytest.mark.parametrize('content', [b'', b'no checkpoint', pickle.dumps([1, 2])])
def test_what_is_no_checkpoint_is_refused(tmp_path, content):
    path = tmp_path / 'odd.pth'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=str(path)):
        read_checkpoint(path)


def test_weights_that_do_not_fit_change_nothing(tmp_path):
    path, model = tmp_path / 'other.pth', nn.Linear(3, 3)
    before = model.weight.clone()
    other = dict(weight=torch.zeros(2, 3), scale=torch.ones(1))
    torch.save(dict(state_dict=other), path)
    message = (
        r'1 weights missing.*bias.*unknown to the model.*scale.*'
        r'weight \(model \(3, 3\), file \(2, 3\)\)'
    )
    with pytest.raises(ValueError, match=message):
        load_weights(model, path)
    assert torch.equal(model.weight, before)


def diffusion(**preconditioner) -> ADM:
    head = dict(type='DualDecoderUNet', out_channels=(3, 3), base_channels=32)
    head.update(channel_mult=(1,), num_blocks=1, attention_levels=())
    return ADM(head=head, preconditioner=preconditioner)


def test_weights_of_another_scaling_are_refused(tmp_path):
    """Their keys and shapes tell nothing: the numbers of the trained one must."""
    published = diffusion(type='Preconditioner', scaling='ddm_public')
    trained = dict(
        state_dict=published.state_dict(), meta=dict(scaling=scaling(published))
    )
    torch.save(trained, tmp_path / 'trained.pth')
    target = publish_weights(tmp_path / 'trained.pth', tmp_path / 'w.safetensors')
    for path in (tmp_path / 'trained.pth', target):
        load_weights(published, path)
        for version in ('conditional', 'diffusion_edge'):
            other = diffusion(type='Preconditioner', scaling=version)
            with pytest.raises(ValueError, match='another scaling') as error:
                load_weights(other, path)
            assert scaling(published) in str(error.value)
            assert scaling(other) in str(error.value)


def test_training_writes_its_scaling_and_warns_of_another(make_runner, tmp_path):
    first = make_runner('a', train_cfg__max_iters=2)
    first.train()
    path = tmp_path / 'a' / 'iter_2.pth'
    assert read_checkpoint(path)['meta']['scaling'] == scaling(first.model)
    for sigma, told in ((first.model.preconditioner.sigma_data, False), (2.0, True)):
        name = f'sigma_{sigma}'
        make_runner(
            name,
            load_from=str(path),
            model__preconditioner__sigma_data=sigma,
            train_cfg__max_iters=1,
        ).train()
        log = next((tmp_path / name).glob('*/*.log')).read_text()
        assert ('another scaling' in log) == told


def test_one_scaling_in_other_words_is_accepted(tmp_path):
    plain = diffusion(type='Preconditioner')
    spelled = diffusion(type='Preconditioner', sigma_data=0.5)
    meta = dict(scaling=scaling(plain))
    torch.save(dict(state_dict=plain.state_dict(), meta=meta), tmp_path / 'w.pth')
    load_weights(spelled, tmp_path / 'w.pth')


def test_the_scaling_has_the_numbers_of_the_formula():
    """``c = 1`` and ``b = sqrt(t)`` at t = 0.5 for sigma_d = 1: D = 3/4."""
    told = scaling(diffusion(type='Preconditioner', sigma_data=1.0))
    assert told == (
        'at t = 0.5 input 1.15 x, -0.693; phi = -0.667 x + 0.816 F; '
        'eps = 0.943 x + 0.577 F'
    )


def test_log_histories_survive_as_plain_data():
    history = HistoryBuffer([1.0, 2.0, 4.0], [1, 2, 1], max_length=10)
    plain = to_plain(dict(log_scalars={'loss': history}, runtime_info={'iter': 3}))
    assert isinstance(plain['log_scalars']['loss'], dict)
    assert type(plain) is dict, 'MMEngine compares the types of what it resumes'
    back = from_plain(plain)
    assert back['runtime_info'] == {'iter': 3}
    for one, other in zip(back['log_scalars']['loss'].data, history.data):
        assert (one == other).all()


def test_checkpoints_of_a_run_need_no_code_to_be_read(make_runner, tmp_path):
    make_runner('run', train_cfg__max_iters=2).train()
    checkpoint = torch.load(tmp_path / 'run' / 'iter_2.pth', weights_only=True)
    assert {'state_dict', 'ema_state_dict', 'optimizer'} <= checkpoint.keys()
