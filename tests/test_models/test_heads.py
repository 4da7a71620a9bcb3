"""Heads and their layers."""

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d
from torch.nn.attention import SDPBackend, sdpa_kernel

from mmadm.models import (
    ConvBranchUNet,
    ConvEncoder,
    CrossAttentionFusion,
    DualDecoderUNet,
    NCSNppUNet,
    RelationUNet,
    SingleDecoderRelationUNet,
    SingleDecoderUNet,
)
from mmadm.models.heads.layers import (
    SelfAttention,
    SpatialAttention,
    TimeEmbedding,
    attend,
)
from mmadm.models.heads.ncsnpp import ScaledBlock, SmoothResample

TOY = dict(base_channels=8, channel_mult=(1, 2, 2), num_blocks=1, attention_levels=(1,))


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ('decoders', 'settings', 'expected'),
    [
        # Table I, CIFAR-10 and the CelebA-HQ latents; one decoder is the paper's "90M".
        ((3, 3), dict(base_channels=160, augment_dim=9), 150_134_896),
        ((3,), dict(base_channels=160, augment_dim=9), 90_095_048),
        ((3, 3), dict(base_channels=128), 96_120_592),
        ((3,), dict(base_channels=128), 57_681_544),
    ],
)
def test_parameter_counts_are_those_of_table_1(decoders, settings, expected):
    with torch.device('meta'):
        assert count(DualDecoderUNet(out_channels=decoders, **settings)) == expected


@pytest.mark.parametrize('size', [(8, 8), (9, 13), (5, 5), (16, 7), (1, 1)])
@pytest.mark.parametrize('head_type', [DualDecoderUNet, NCSNppUNet])
def test_any_size_goes_in_and_comes_out(size, head_type):
    head = head_type(out_channels=(6, 3), **TOY)
    phi, eps = head(torch.randn(2, 3, *size), torch.randn(2))
    assert phi.shape == (2, 6, *size)
    assert eps.shape == (2, 3, *size)


@pytest.mark.parametrize('head_type', [SingleDecoderUNet, ConvBranchUNet])
def test_variants_have_their_outputs(head_type):
    outputs = head_type(**TOY)(torch.randn(2, 3, 9, 9), torch.randn(2))
    expected = {SingleDecoderUNet: 1, ConvBranchUNet: 2}[head_type]
    assert [tuple(out.shape) for out in outputs] == [(2, 3, 9, 9)] * expected


def test_one_time_serves_the_whole_batch():
    head, x = DualDecoderUNet(**TOY), torch.randn(3, 3, 8, 8)
    one = head(x, torch.tensor([0.3]))
    each = head(x, torch.full((3,), 0.3))
    torch.testing.assert_close(one, each)


def test_the_time_changes_the_output_once_trained():
    head, x = DualDecoderUNet(**TOY), torch.randn(1, 3, 8, 8)
    for parameter in head.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    early, late = head(x, torch.tensor([-5.0]))[0], head(x, torch.tensor([-0.1]))[0]
    assert (early - late).abs().max() > 1e-3


def test_the_time_code_is_cosines_then_sines_of_falling_frequencies():
    embedding = TimeEmbedding(8)
    embedding.mlp = torch.nn.Identity()
    code = embedding(torch.tensor([0.7]))[0]
    frequencies = torch.tensor([10000 ** (-k / 4) for k in range(4)])
    expected = torch.cat([(0.7 * frequencies).cos(), (0.7 * frequencies).sin()])
    torch.testing.assert_close(code, expected)


def test_attention_equals_the_written_out_softmax():
    q, k, v = torch.randn(2, 8, 3, 4), torch.randn(2, 8, 2, 5), torch.randn(2, 8, 2, 5)
    out = attend(q, k, v, num_heads=2)
    for n in range(2):
        for head in range(2):
            rows = slice(4 * head, 4 * head + 4)
            scores = q[n, rows].flatten(1).T @ k[n, rows].flatten(1) / 4**0.5
            expected = scores.softmax(1) @ v[n, rows].flatten(1).T
            torch.testing.assert_close(out[n, rows].flatten(1).T, expected)


def test_attention_keeps_no_table_of_all_pairs_of_positions():
    q, k, v = torch.randn(3, 2, 8, 3, 4)
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        assert attend(q, k, v, num_heads=2).shape == q.shape
        assert SpatialAttention(8)(q).shape == q.shape


def test_spatial_attention_equals_its_formula():
    gate, x = SpatialAttention(6), torch.randn(2, 6, 5, 4)
    a = gate.map(x).flatten(1)
    q = gate.query.weight.item() * a + gate.query.bias.item()
    k = gate.key.weight.item() * a + gate.key.bias.item()
    gathered = torch.einsum('nij,nj->ni', (q[:, :, None] * k[:, None, :]).softmax(2), a)
    soft = (gathered / (1 + gathered.abs())).view(2, 1, 5, 4)
    torch.testing.assert_close(gate(x), soft * x)


def test_attention_never_disappears():
    assert SelfAttention(8, head_channels=64).num_heads == 1
    with pytest.raises(ValueError, match='130 channels'):
        SelfAttention(130, head_channels=32)


def test_skip_tuning_weakens_the_deep_skips_and_leaves_the_bottom():
    head = DualDecoderUNet(**TOY, skip_scale=0.5)
    seen = []
    head.decoders[0].register_forward_hook(lambda _, inputs, out: seen.append(inputs))
    head.encoder.register_forward_hook(lambda _, inputs, out: seen.append(out))
    head(torch.randn(1, 3, 8, 8), torch.randn(1))
    outputs, (bottom, skips, _) = seen
    assert torch.equal(bottom, outputs[-1])
    for i, (skip, output) in enumerate(zip(skips, outputs, strict=True)):
        torch.testing.assert_close(skip, (1 - 0.5 * i / 5) * output)


def test_smooth_resampling_is_the_binomial_filter():
    x = torch.randn(1, 1, 8, 6)
    taps = np.array([1, 3, 3, 1]) / 8
    full = convolve2d(x[0, 0].numpy(), np.outer(taps, taps))
    down = SmoothResample('down')(x)[0, 0]
    np.testing.assert_allclose(down, full[2:-1:2, 2:-1:2], atol=1e-6)

    spread = np.zeros((16, 12))
    spread[::2, ::2] = x[0, 0]
    full = convolve2d(spread, 4 * np.outer(taps, taps))
    up = SmoothResample('up')(x, torch.Size((15, 12)))[0, 0]
    np.testing.assert_allclose(up, full[1:16, 1:13], atol=1e-6)


def test_blocks_of_ncsnpp_start_near_their_shortcut():
    block, x = ScaledBlock(8, 8, 4, attention=True), torch.randn(2, 8, 4, 4)
    out = block(x, torch.randn(2, 4))
    torch.testing.assert_close(out, x / 2, rtol=0, atol=1e-3)


def test_ncsnpp_takes_conditions_and_one_decoder_too():
    settings = dict(condition_channels=(4, 4, 4), out_channels=(3,))
    head = NCSNppUNet(**TOY, **settings)
    features = [torch.randn(1, 4, size, size) for size in (8, 4, 2)]
    (out,) = head(torch.randn(1, 3, 8, 8), torch.zeros(1), features)
    assert out.shape == (1, 3, 8, 8)


def test_cross_attention_starts_as_identity_and_learns_from_the_condition():
    fusion = CrossAttentionFusion(16, 8, head_channels=8)
    h, features = torch.randn(2, 16, 4, 4), torch.randn(2, 8, 3, 3)
    assert torch.equal(fusion(h, features), h)
    torch.nn.init.normal_(fusion.proj.weight)
    assert not torch.allclose(fusion(h, features), h)


def test_the_conv_encoder_halves_from_level_to_level():
    features = ConvEncoder(channels=(4, 8, 16))(torch.randn(1, 3, 13, 20))
    assert [tuple(f.shape[1:]) for f in features] == [
        (4, 13, 20),
        (8, 7, 10),
        (16, 4, 5),
    ]


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(base_channels=6), 'multiple of 4.*base_channels=6'),
        (dict(condition_channels=(8, 8)), r'3 levels.*2 entries: \(8, 8\)'),
        (dict(attention_levels=(3,)), r'levels 0 to 2.*\(3,\)'),
        (dict(channel_mult=()), r'at least one level.*channel_mult=\(\)'),
        (dict(channel_mult=(1, 0)), r'a width and a block.*channel_mult=\(1, 0\)'),
        (dict(num_blocks=0), 'a block.*num_blocks=0'),
        (dict(out_channels=3), 'several decoders.*out_channels=3'),
        (dict(out_channels=(3, 0)), r'several decoders.*out_channels=\(3, 0\)'),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        DualDecoderUNet(**{**TOY, **settings})


@pytest.mark.parametrize('head_type', [SingleDecoderUNet, SingleDecoderRelationUNet])
def test_a_single_decoder_has_a_single_width(head_type):
    with pytest.raises(ValueError, match=r'single decoder.*out_channels=\(3, 3\)'):
        head_type(base_channels=8, out_channels=(3, 3))


@pytest.mark.parametrize(('own', 'given'), [(0, 9), (9, 5)])
def test_labels_of_another_augmentation_are_refused(own, given):
    head = DualDecoderUNet(**TOY, augment_dim=own)
    message = f'takes {own} augmentation labels.*got {given}'
    with pytest.raises(ValueError, match=message):
        head(torch.zeros(1, 3, 4, 4), torch.zeros(1), None, torch.zeros(1, given))


@pytest.mark.parametrize('size', [64, 96, 70])
def test_swin_of_mmpretrain_encodes_conditions_of_any_size(size):
    from mmadm.registry import MODELS

    with torch.no_grad():
        swin = MODELS.build(
            dict(
                type='mmpretrain.SwinTransformer',
                arch=dict(embed_dims=8, depths=[1, 1, 1, 1], num_heads=[1, 2, 4, 8]),
                out_indices=(0, 1, 2, 3),
                pad_small_map=True,
            )
        )
        swin.eval()
        features = swin(torch.randn(1, 3, size, size))
    assert [f.shape[1] for f in features] == [8, 16, 32, 64]
    assert features[0].shape[-1] == -(-size // 4)


@pytest.mark.parametrize('head_type', [DualDecoderUNet, RelationUNet])
def test_images_of_other_channels_are_refused_with_both_sides(head_type):
    head = head_type(in_channels=4, base_channels=8)
    with pytest.raises(ValueError, match=r'takes 4 channels, .* image has 3'):
        head(torch.zeros(1, 3, 8, 8), torch.zeros(1), None)
