"""What a checkpoint holds is checked before anything is built from it."""

import io
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from mmadm.checkpoints import (
    check_fit,
    check_resumable,
    publish_weights,
    read_checkpoint,
)
from mmadm.checkpoints import reading as reading_module
from mmadm.checkpoints.structure import check_optimizer

WEIGHTS = nn.Linear(3, 3).state_dict()


def spoilt(value: float) -> dict:
    return WEIGHTS | dict(bias=torch.tensor([0.0, value, 0.0]))


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
@pytest.mark.parametrize('key', ['state_dict', 'ema_state_dict', None])
def test_weights_that_are_not_finite_are_refused_by_name(tmp_path, key, value):
    content = {key: spoilt(value)} if key else spoilt(value)
    torch.save(content, tmp_path / 'x.pth')
    message = r'NaN or infinite: .*x\.pth has them in 1 of 2 tensors.*bias'
    for read in (read_checkpoint, lambda x: publish_weights(x, 'y.safetensors')):
        with pytest.raises(ValueError, match=message):
            read(tmp_path / 'x.pth')


def test_numbers_that_the_model_cannot_hold_are_refused():
    large = {key: x.double() * 1e300 for key, x in WEIGHTS.items()}
    with pytest.raises(ValueError, match=r'2 weights that are NaN or infinite'):
        check_fit(nn.Linear(3, 3), large, 'x.pth')


@pytest.mark.parametrize(
    ('content', 'named'),
    [
        (dict(state_dict=[1]), 'state_dict'),
        (dict(state_dict={'a': 1}), r'state_dict\.a'),
        (dict(state_dict={0: torch.ones(1)}), r'state_dict\.0'),
        (dict(state_dict=WEIGHTS, meta='text'), 'meta'),
        (dict(state_dict=WEIGHTS, meta=None), 'meta'),
        (dict(state_dict=WEIGHTS, message_hub=3), 'message_hub'),
        (dict(state_dict=WEIGHTS, message_hub=dict(log_scalars=[])), 'log_scalars'),
        (
            dict(
                state_dict=WEIGHTS,
                message_hub=dict(log_scalars=dict(x=dict(history_buffer=[1]))),
            ),
            r'log_scalars\.x',
        ),
        (dict(state_dict=WEIGHTS, optimizer=[]), 'optimizer'),
        (dict(state_dict=WEIGHTS, param_schedulers='x'), 'param_schedulers'),
    ],
)
def test_entries_of_a_wrong_type_are_named(tmp_path, content, named):
    torch.save(content, tmp_path / 'x.pth')
    with pytest.raises(ValueError, match=f'must have a.* as .*{named}'):
        read_checkpoint(tmp_path / 'x.pth')


@pytest.mark.parametrize(
    'tensor',
    [
        torch.eye(3).to_sparse(),
        torch.empty(3, device='meta'),
        torch.ones(1).expand(10**11),
        torch.ones(1).expand(1000, 1000),
    ],
)
def test_tensors_of_other_kinds_are_refused(tmp_path, tensor):
    torch.save(dict(state_dict=dict(w=tensor)), tmp_path / 'x.pth')
    with pytest.raises(ValueError, match=r'Refused to load .*state_dict\.w'):
        read_checkpoint(tmp_path / 'x.pth')


def test_shared_and_small_repeated_tensors_are_no_reason_to_refuse(tmp_path):
    weight = torch.ones(100, 100)
    state = dict(a=weight, b=weight, c=weight[:3], d=torch.ones(1).expand(7))
    torch.save(dict(state_dict=state), tmp_path / 'x.pth')
    found = read_checkpoint(tmp_path / 'x.pth')['state_dict']
    assert all(torch.equal(found[key], state[key]) for key in state)


def test_lists_of_lists_of_lists_are_counted_not_followed(tmp_path):
    nested = [0]
    for _ in range(60):
        nested = [nested, nested]
    torch.save(dict(state_dict=WEIGHTS, meta=dict(x=nested)), tmp_path / 'x.pth')
    with pytest.raises(ValueError, match='entries'):
        read_checkpoint(tmp_path / 'x.pth')


def test_a_compressed_archive_is_refused_before_it_is_opened(tmp_path, monkeypatch):
    torch.save(dict(w=torch.zeros(10**6)), tmp_path / 'x.pth')
    with zipfile.ZipFile(tmp_path / 'x.pth') as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    path = tmp_path / 'bomb.pth'
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, data in records.items():
            archive.writestr(name, data)
    assert torch.load(path, weights_only=True)['w'].numel() == 10**6
    monkeypatch.setattr(zipfile.ZipFile, 'read', None)
    monkeypatch.setattr(zipfile.ZipFile, 'testzip', None)
    with pytest.raises(ValueError, match=r'compressed archive of 0\.\d MB .* 4\.0 MB'):
        read_checkpoint(path)


def _tar(path) -> None:
    with tarfile.open(path, 'w') as archive:
        archive.addfile(tarfile.TarInfo('weights'), io.BytesIO())


KINDS = {
    'a NumPy archive': lambda path: np.savez(path.open('wb'), a=np.ones(2)),
    'a NumPy array': lambda path: np.save(path.open('wb'), np.ones(2)),
    'a tar archive': _tar,
    'a zip archive': lambda path: zipfile.ZipFile(path, 'w').writestr('a.txt', 'a'),
    'a web page': lambda path: path.write_text('\n<!DOCTYPE html>'),
    'a file with a Tensor': lambda path: torch.save(torch.ones(3), path),
}


@pytest.mark.parametrize('kind', KINDS)
def test_files_of_other_kinds_are_called_by_their_name(tmp_path, kind):
    KINDS[kind](tmp_path / 'x.pth')
    with pytest.raises(ValueError, match=rf'Not a checkpoint: .*x\.pth is {kind}'):
        read_checkpoint(tmp_path / 'x.pth')


@pytest.mark.filterwarnings('ignore::DeprecationWarning')
def test_a_torchscript_program_is_called_so(tmp_path):
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.ones(2)), tmp_path / 'x.pth')
    with pytest.raises(ValueError, match='is a TorchScript program'):
        read_checkpoint(tmp_path / 'x.pth')


@pytest.mark.parametrize(
    'error',
    [
        MemoryError('no'),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: 10 bytes"),
    ],
)
def test_lack_of_memory_is_not_called_damage(tmp_path, monkeypatch, error):
    def fail(*_):
        raise error

    torch.save(WEIGHTS, tmp_path / 'x.pth')
    monkeypatch.setattr(reading_module, '_load', fail)
    with pytest.raises(MemoryError, match=r'Not enough memory to read .*x\.pth'):
        read_checkpoint(tmp_path / 'x.pth')


def training(**changes) -> dict:
    model = nn.Linear(3, 3)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(3)).sum().backward()
    optimizer.step()
    state = dict(
        state_dict=model.state_dict(),
        meta=dict(iter=1, epoch=0),
        message_hub={},
        optimizer=optimizer.state_dict(),
        param_schedulers=[],
    )
    return state | changes


@pytest.mark.parametrize(
    ('changes', 'named'),
    [
        (dict(meta=dict(iter=1)), r'meta\.epoch, which is missing'),
        (dict(meta=dict(iter='1', epoch=0)), r"meta\.iter, which is '1'"),
        (dict(meta=dict(iter=-1, epoch=0)), r'meta\.iter, which is -1'),
        (dict(optimizer=dict(state={})), r'optimizer\.param_groups, which is missing'),
        (dict(optimizer={}), r'optimizer\.param_groups, which is missing'),
        (dict(optimizer=dict(param_groups=[], state=[])), r'optimizer\.state'),
        (dict(param_schedulers=[3]), 'param_schedulers'),
    ],
)
def test_a_state_of_training_must_be_whole(changes, named):
    check_resumable(training(), 'x.pth')
    with pytest.raises(ValueError, match=named):
        check_resumable(training(**changes), 'x.pth')


@pytest.mark.parametrize('value', [torch.zeros(5), torch.zeros(()), torch.zeros(9, 1)])
def test_a_moment_of_another_shape_is_refused(value):
    ours = {'': torch.optim.AdamW(nn.Linear(3, 3).parameters())}
    check_optimizer(ours, training(), 'x.pth')
    state = training()
    state['optimizer']['state'][0]['exp_avg'] = value
    with pytest.raises(ValueError, match=r'optimizer\.state\.0\.exp_avg has shape'):
        check_optimizer(ours, state, 'x.pth')
    state['optimizer']['state'][0]['exp_avg'] = torch.full((3, 3), torch.nan)
    with pytest.raises(ValueError, match=r'optimizer\.state\.0\.exp_avg'):
        check_optimizer(ours, state, 'x.pth')


def test_another_number_of_weights_is_refused():
    larger = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    ours = {'': torch.optim.AdamW(larger.parameters())}
    with pytest.raises(ValueError, match=r'groups have 2 weights, those of .* 4'):
        check_optimizer(ours, training(), 'x.pth')


def test_a_kept_file_is_read_once_until_it_changes(tmp_path, monkeypatch):
    reads = []

    def counted(path):
        reads.append(path)
        return read_file(path)

    read_file = reading_module.read_file
    monkeypatch.setattr(reading_module, 'read_file', counted)
    path = tmp_path / 'x.pth'
    torch.save(WEIGHTS, path)
    kept = read_checkpoint(path, keep=True)
    assert read_checkpoint(path, keep=True) is kept
    assert read_checkpoint(path) is kept and len(reads) == 1
    assert read_checkpoint(path, keep=True) is not kept and len(reads) == 2
    torch.save(WEIGHTS | dict(c=torch.ones(1)), path)
    assert 'c' in read_checkpoint(path) and len(reads) == 3
