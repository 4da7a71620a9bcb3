"""Weights of others' files: a damaged one is no first stage, encoder or metric."""

import pytest
import torch
from torch import nn

from mmadm.checkpoints.weights import check_fit, read_weights


def test_the_state_dict_of_a_checkpoint_is_what_counts(tmp_path):
    weights = nn.Linear(3, 3).state_dict()
    torch.save(dict(state_dict=weights, optimizer={}, meta={}), tmp_path / 'a.pth')
    torch.save(weights, tmp_path / 'b.pth')
    for name in 'ab':
        found = read_weights(tmp_path / f'{name}.pth')
        assert found.keys() == weights.keys()
        assert all(torch.equal(found[key], weights[key]) for key in weights)
    check_fit(nn.Linear(3, 3), found, 'b.pth')


def test_a_flipped_bit_of_a_weight_is_noticed(tmp_path):
    path, value = tmp_path / 'stage.pth', 0.1234567
    torch.save(dict(weight=torch.full((100,), value)), path)
    data = bytearray(path.read_bytes())
    data[data.index(torch.tensor(value).numpy().tobytes() * 3)] ^= 4
    path.write_bytes(data)
    damaged = torch.load(path, weights_only=True)['weight']
    assert damaged[0] != damaged[1], 'torch says nothing'
    with pytest.raises(ValueError, match=r'stage\.pth .*checksum'):
        read_weights(path)


@pytest.mark.parametrize('content', [{}, dict(state_dict=3), dict(a=1), [1]])
def test_what_holds_no_weights_is_refused(tmp_path, content):
    torch.save(content, tmp_path / 'odd.pth')
    with pytest.raises(ValueError, match=r'Not a .*odd\.pth'):
        read_weights(tmp_path / 'odd.pth')
