"""Networks for restoration: what a pixel becomes depends on its neighbourhood only."""

import pytest
import torch

from mmadm.models import LocalDualDecoderUNet, ResidualEncoder


def _shaken(network):
    torch.manual_seed(0)
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return network.eval()


@torch.no_grad()
def test_a_change_far_away_changes_nothing():
    head = _shaken(
        LocalDualDecoderUNet(
            in_channels=2,
            out_channels=(2, 2),
            base_channels=8,
            channel_mult=(1, 2),
            num_blocks=1,
        )
    )
    x = torch.randn(1, 2, 96, 16)
    other = x.clone()
    other[:, :, -4:] += 3
    t = torch.zeros(1)
    for output, changed in zip(head(x, t), head(other, t)):
        assert output[:, :, :24].equal(changed[:, :, :24])
        assert not output[:, :, -4:].equal(changed[:, :, -4:])


@torch.no_grad()
def test_features_of_a_crop_are_those_of_the_image():
    encoder = _shaken(ResidualEncoder(channels=(8, 8), num_blocks=(2, 1)))
    image = torch.randn(1, 3, 64, 64)
    whole, crop = encoder(image), encoder(image[:, :, :48, :48])
    for i, (a, b) in enumerate(zip(whole, crop)):
        inside = 24 >> i
        torch.testing.assert_close(a[:, :, :inside, :inside], b[:, :, :inside, :inside])


def test_attention_and_unequal_levels_are_refused():
    with pytest.raises(ValueError, match='has no attention'):
        LocalDualDecoderUNet(attention_levels=(1,))
    with pytest.raises(ValueError, match='Give one of each per level'):
        ResidualEncoder(channels=(8, 8), num_blocks=(1,))
