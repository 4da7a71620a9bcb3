"""Files of other programs: nothing in them runs, and their weights are found."""

import os
import sys
from types import ModuleType

import pytest
import torch

from mmadm.checkpoints.converters.foreign_files import read_foreign, stored_weights

WEIGHTS = {'a.weight': torch.arange(3.0), 'b.bias': torch.ones(2)}


class ModelCheckpoint:
    """Has a state, and arguments without which it cannot be made."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __reduce__(self):
        return ModelCheckpoint, (self.folder,), {'best': 3}


class Hostile:
    def __init__(self, file) -> None:
        self.file = file

    def __reduce__(self):
        return os.system, (f'touch {self.file}',)


@pytest.fixture
def lightning_file(tmp_path, monkeypatch):
    """Write a file with objects of a package that is not there when it is read."""

    def write(package: str = 'pytorch_lightning', **entries):
        path, module = tmp_path / 'model.ckpt', ModuleType(package)
        module.ModelCheckpoint = ModelCheckpoint
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, package, module)
            patch.setattr(ModelCheckpoint, '__module__', package)
            callbacks = {ModelCheckpoint: ModelCheckpoint('somewhere')}
            content = dict(state_dict=WEIGHTS, epoch=3, callbacks=callbacks)
            torch.save(content | entries, path)
        return path

    return write


def test_objects_of_lightning_are_passed_over(lightning_file):
    checkpoint = read_foreign(lightning_file())
    assert checkpoint['epoch'] == 3
    (callback,) = checkpoint['callbacks'].values()
    assert not vars(callback)
    weights, is_average = stored_weights(checkpoint, 'model.ckpt')
    assert weights.keys() == WEIGHTS.keys() and not is_average
    assert all(torch.equal(weights[key], WEIGHTS[key]) for key in WEIGHTS)


def test_objects_of_others_are_refused_by_name(lightning_file):
    with pytest.raises(ValueError, match=r'Refused .*\(elsewhere\.ModelCheckpoint\)'):
        read_foreign(lightning_file('elsewhere'))


def test_nothing_runs_beside_lightning_either(lightning_file, tmp_path):
    path = lightning_file(hidden=Hostile(tmp_path / 'it_ran'))
    with pytest.raises(ValueError, match=r'Refused .*\.system\)'):
        read_foreign(path)
    assert not (tmp_path / 'it_ran').exists()


@pytest.mark.parametrize('prefix', ['', 'module.'])
@pytest.mark.parametrize('averaged', [True, False])
def test_the_average_is_taken_unless_the_raw_weights_are_wanted(averaged, prefix):
    raw = {prefix + key: value + 1 for key, value in WEIGHTS.items()}
    ema = {f'ema_model.{prefix}{key}': value for key, value in WEIGHTS.items()}
    ema |= {f'online_model.{key}': value for key, value in raw.items()}
    checkpoint = dict(step=7, model=raw, ema=ema | dict(initted=torch.tensor(True)))
    weights, is_average = stored_weights(checkpoint, 'model-7.pt', averaged)
    assert is_average == averaged
    offset = 0 if averaged else 1
    assert weights.keys() == WEIGHTS.keys()
    assert all(torch.equal(weights[key], WEIGHTS[key] + offset) for key in WEIGHTS)


@pytest.mark.parametrize(
    'checkpoint',
    [
        WEIGHTS,
        dict(state_dict=WEIGHTS),
        dict(model=WEIGHTS, ema=None),
        dict(model=WEIGHTS, ema={'initted': torch.tensor(False)}),
        dict(model=WEIGHTS | {0: torch.ones(1), 'note': 'text'}),
    ],
)
def test_files_without_an_average_give_what_they_have(checkpoint):
    assert stored_weights(checkpoint, 'file') == (WEIGHTS, False)


@pytest.mark.parametrize('checkpoint', [{}, dict(model=None, step=3)])
def test_files_without_weights_are_refused(checkpoint):
    named = ', '.join(checkpoint) or 'nothing'
    with pytest.raises(ValueError, match=f'No weights in file: it has {named}. Give'):
        stored_weights(checkpoint, 'file')


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'<html>404 not found</html>', r'is a web page\. Give a file'),
        (b'', r'ends after 0 bytes\. Copy it again'),
    ],
)
def test_files_of_no_kind_say_so(content, message, tmp_path):
    path = tmp_path / 'model.ckpt'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_foreign(path)
