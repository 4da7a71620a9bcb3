"""The authors' names of weights: what the golden tests of the heads do not show."""

import pytest
import torch

from mmadm.checkpoints.converters import relation_keys, unconditional_keys
from mmadm.checkpoints.converters.head_keys import relation_names, unconditional_names
from mmadm.models import DualDecoderUNet, RelationUNet, SingleDecoderUNet
from tests.golden import authors_weights


@pytest.mark.parametrize('head_type', [DualDecoderUNet, SingleDecoderUNet])
def test_levels_and_blocks_are_read_off_the_keys(head_type):
    head = head_type(
        base_channels=8, channel_mult=(1, 1, 2), num_blocks=2, attention_levels=(1,)
    )
    names = unconditional_names(sides=(64, 32, 16), num_blocks=2)
    converted = unconditional_keys(authors_weights(head, names))
    assert set(converted) == set(head.state_dict())


def test_levels_of_the_conditional_head_are_read_off_the_keys():
    settings = dict(condition_windows=(1, 1), feature_windows=(1, 1))
    head = RelationUNet(
        base_channels=8, channel_mult=(1, 2), condition_channels=(4, 8), **settings
    )
    theirs = authors_weights(head, relation_names(levels=2))
    theirs['downs.0.2.fn.norm.g'] = theirs['downs.0.2.fn.norm.g'].view(1, -1, 1, 1)
    converted = relation_keys(theirs)
    head.load_state_dict(converted)


def test_rows_of_qkv_are_sorted_by_kind_then_head():
    rows = [(h, c, kind) for h in range(2) for c in range(3) for kind in 'qkv']
    theirs = torch.arange(18.0).view(18, 1, 1, 1)
    key = 'model.enc.8x8_block0.qkv.weight'
    (ours,) = unconditional_keys({key: theirs}).values()
    assert [rows[i] for i in ours.flatten().int()] == [
        (h, c, kind) for kind in 'qkv' for h in range(2) for c in range(3)
    ]


def test_what_no_head_has_is_left_out():
    nothing = torch.zeros(1)
    assert (
        unconditional_keys({'model.enc.8x8_down.conv0.resample_filter': nothing}) == {}
    )
    assert relation_keys({'init_conv_mask.norm.weight': nothing}) == {}


@pytest.mark.parametrize('convert', [relation_keys, unconditional_keys])
def test_a_key_of_another_network_is_refused(convert):
    with pytest.raises(ValueError, match=r"1 of 1 .*'conv1\.weight'.* Check that"):
        convert({'conv1.weight': torch.zeros(1)})
