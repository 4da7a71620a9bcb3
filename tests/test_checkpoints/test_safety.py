"""Files from others: nothing in them runs, whoever reads them."""

import pickle

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModule
from mmengine.runner import load_checkpoint, save_checkpoint
from torch import nn

from mmadm.apis import load_config, load_into, set_resume
from mmadm.checkpoints import (
    publish_weights,
    read_checkpoint,
    safe_loaders,
    trust_checkpoint,
)
from mmadm.checkpoints.plain_data import from_plain


class Payload:
    """Touches a file when it is unpickled the usual way."""

    def __init__(self, call, *args) -> None:
        self.call, self.args = call, args

    def __reduce__(self):
        return self.call, self.args


HOSTILE = {
    'open': lambda trace: Payload(open, trace, 'w'),
    'eval': lambda trace: Payload(eval, f'open({trace!r}, "w")'),
    'exec': lambda trace: Payload(exec, f'open({trace!r}, "w")'),
    'numpy': lambda trace: Payload(np.load, trace),
    'torch': lambda trace: Payload(torch.load, trace),
}


@pytest.fixture(params=sorted(HOSTILE))
def hostile(request, tmp_path):
    """A checkpoint that would leave a trace, and the trace."""
    path, trace = tmp_path / 'bad.pth', tmp_path / 'trace'
    state = dict(state_dict={}, meta=dict(epoch=0, iter=0), message_hub={})
    torch.save(dict(state, optimizer=HOSTILE[request.param](str(trace))), path)
    yield path
    assert not trace.exists()


class Pretrained(BaseModule):
    """A model that begins from a file."""

    def __init__(self, path) -> None:
        super().__init__(dict(type='Pretrained', checkpoint=str(path)))
        self.layer = nn.Linear(2, 2)


def test_every_way_to_load_refuses_a_hostile_file(
    hostile, make_runner, toy_config, tmp_path
):
    (tmp_path / 'w').mkdir()
    (tmp_path / 'w' / 'iter_1.pth').write_bytes(hostile.read_bytes())
    cfg = load_config(str(toy_config), dict(work_dir=str(tmp_path / 'w')))
    runner = make_runner(load_from=str(hostile))
    ways = [
        lambda: read_checkpoint(hostile),
        lambda: set_resume(cfg, str(hostile)),
        lambda: set_resume(cfg, 'auto'),
        lambda: load_into(runner, hostile),
        lambda: runner.load_checkpoint(str(hostile)),
        lambda: runner.resume(str(hostile)),
        safe_loaders()(lambda: load_checkpoint(nn.Linear(2, 2), str(hostile))),
        safe_loaders()(lambda: Pretrained(hostile).init_weights()),
        lambda: publish_weights(hostile, tmp_path / 'x.safetensors'),
    ]
    for way in ways:
        with pytest.raises(ValueError, match='Refused to load'):
            way()


def test_getattr_leads_nowhere(tmp_path):
    """MMEngine's allow list has it; what stands for it here gives nothing away."""
    path = tmp_path / 'bad.pth'
    found = Payload(getattr, HistoryBuffer, '__init__')
    torch.save(dict(state_dict={}, x=found), path)
    assert torch.load(path, weights_only=False)['x'] is HistoryBuffer.__init__
    assert read_checkpoint(path)['x'] is None


def test_a_config_inside_a_checkpoint_is_not_run(make_runner, tmp_path):
    """MMEngine runs the text under meta.config when it resumes."""
    make_runner('run', train_cfg__max_iters=2).train()
    path, trace = tmp_path / 'run' / 'iter_2.pth', tmp_path / 'trace'
    checkpoint = torch.load(path, weights_only=True)
    checkpoint['meta']['config'] = f'x = open({str(trace)!r}, "w").close()'
    torch.save(checkpoint, path)
    make_runner('more', resume=True, load_from=str(path)).train()
    assert not trace.exists()


def test_trust_is_for_one_file(tmp_path):
    trace = tmp_path / 'trace'
    bad = dict(state_dict={}, x=Payload(open, str(trace), 'w'))
    for name in ('mine.pth', 'other.pth'):
        torch.save(bad, tmp_path / name)
    trust_checkpoint(tmp_path / 'mine.pth')
    with pytest.raises(ValueError, match='--trust-checkpoint'):
        read_checkpoint(tmp_path / 'other.pth')
    assert not trace.exists()
    assert 'state_dict' in read_checkpoint(tmp_path / 'mine.pth')
    assert trace.exists()


@pytest.mark.parametrize('address', ['open-mmlab://a', 'torchvision://b', 's3://c/d'])
def test_names_of_remote_models_are_refused(address):
    with pytest.raises(ValueError, match='Download the file'), safe_loaders():
        load_checkpoint(nn.Linear(2, 2), address)


def test_mmengines_own_files_are_read_without_its_allow_list(tmp_path):
    path = str(tmp_path / 'stock.pth')
    history = HistoryBuffer([1.0, 2.0, 4.0], [1, 2, 1], max_length=7)
    numbers = dict(a=np.float64(3), b=np.int64(2), c=np.arange(3), d=np.float32(0.5))
    hub = dict(log_scalars=dict(loss=history), runtime_info=numbers)
    save_checkpoint(dict(state_dict=nn.Linear(2, 2).state_dict(), hub=hub), path)
    methods = dict(HistoryBuffer._statistics_methods)

    found = from_plain(read_checkpoint(path)['hub'])
    assert found['log_scalars']['loss'].mean() == history.mean()
    assert found['log_scalars']['loss'].max_length == 7
    assert found['runtime_info'].pop('c').tolist() == [0, 1, 2]
    assert found['runtime_info'] == dict(a=3, b=2, d=0.5)
    assert HistoryBuffer._statistics_methods == methods


def test_published_weights_are_the_averages_and_know_their_sum(make_runner, tmp_path):
    make_runner('run', train_cfg__max_iters=2).train()
    source = tmp_path / 'run' / 'iter_2.pth'
    path = publish_weights(source, tmp_path / 'deep' / 'sr.safetensors')
    assert path.name.startswith('sr-') and len(path.stem) == len('sr-01234567')
    assert path.stat().st_size < 0.4 * source.stat().st_size
    weights = read_checkpoint(path)['state_dict']
    expected = read_checkpoint(source)['state_dict']
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[key], expected[key]) for key in weights)
    load_into(make_runner('again'), path)

    data = bytearray(path.read_bytes())
    data[-5] ^= 4
    path.write_bytes(data)
    with pytest.raises(ValueError, match='SHA-256'):
        read_checkpoint(path)


@pytest.mark.parametrize('content', [b'', b'{}', pickle.dumps({})])
def test_what_is_no_safetensors_file_is_refused(tmp_path, content):
    path = tmp_path / 'odd.safetensors'
    path.write_bytes(content)
    with pytest.raises(ValueError, match='truncated or broken'):
        read_checkpoint(path)
