"""Converted weights are written whole, in full precision, or not at all."""

import pytest
import safetensors.torch
import torch

from mmadm.checkpoints.converters.writing import check_target, write_weights


@pytest.fixture
def source(tmp_path):
    path = tmp_path / 'theirs.pt'
    path.write_bytes(b'anything')
    return path


def test_half_precision_becomes_full(source, tmp_path):
    weights = {'w': torch.ones(2).half(), 'index': torch.arange(3)}
    write_weights(weights, tmp_path / 'x.safetensors', source)
    read = safetensors.torch.load_file(tmp_path / 'x.safetensors')
    assert read['w'].dtype == torch.float32 and read['index'].dtype == torch.int64


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_weights_of_a_failed_training_are_refused(value, source, tmp_path):
    weights = {'good': torch.ones(2), 'bad.bias': torch.tensor([1.0, value])}
    with pytest.raises(ValueError, match=r'theirs\.pt .* 1 of 2 .* bad\.bias'):
        write_weights(weights, tmp_path / 'x.safetensors', source)
    assert list(tmp_path.iterdir()) == [source]


def test_targets_of_other_kinds_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r'x\.pth\. Give a file name'):
        check_target('x.pth')
    (tmp_path / 'x.safetensors').mkdir()
    with pytest.raises(ValueError, match='which is a folder'):
        check_target(tmp_path / 'x.safetensors')
