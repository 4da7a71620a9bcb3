"""The authors' conditional head and its layers: what the golden numbers do not show."""

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from torch import Tensor

from mmadm.models import FourierFilter, RelationUNet, SingleDecoderRelationUNet
from mmadm.models.heads.relation_layers import (
    LayerNorm2d,
    LinearAttention,
    RelationLayer,
    StandardizedBlock,
    StandardizedConv,
)
from mmadm.utils import fold_weights

TOY = dict(
    base_channels=8,
    channel_mult=(1, 2, 2),
    condition_channels=(4, 6, 10),
    condition_windows=(4, 2, 1),
    feature_windows=(4, 2, 1),
)
INPAINTING = dict(base_channels=96, channel_mult=(1, 2, 4, 8))


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def make_features(*sizes: tuple[int, int], batch: int = 2) -> list[Tensor]:
    widths = TOY['condition_channels']
    return [torch.randn(batch, width, *size) for width, size in zip(widths, sizes)]


@pytest.mark.parametrize(
    ('head_type', 'settings', 'expected'),
    [
        (RelationUNet, {}, 137_020_368),
        (RelationUNet, INPAINTING, 157_620_832),
        # The authors' totals less Swin-B, 87,768,224.
        (SingleDecoderRelationUNet, {}, 175_186_664 - 87_768_224),
        (SingleDecoderRelationUNet, INPAINTING, 186_458_968 - 87_768_224),
        (RelationUNet, dict(gate=dict(type=FourierFilter)), 224_910_438 - 87_768_224),
        (RelationUNet, dict(base_channels=16), 2_569_352),
        (SingleDecoderRelationUNet, dict(base_channels=16), 1_709_264),
    ],
)
def test_parameter_counts_are_the_authors(head_type, settings, expected):
    with torch.device('meta'):
        assert count(head_type(**settings)) == expected


@pytest.mark.parametrize('size', [(16, 16), (9, 13), (5, 4), (1, 1)])
@pytest.mark.parametrize('gate', ['SpatialAttention', 'FourierFilter'])
def test_any_size_goes_in_and_comes_out(size, gate):
    head = RelationUNet(out_channels=(6, 3), gate=dict(type=gate), **TOY)
    features = make_features((7, 5), (4, 3), (2, 2))
    phi, eps = head(torch.randn(2, 3, *size), torch.randn(2), features)
    assert phi.shape == (2, 6, *size)
    assert eps.shape == (2, 3, *size)
    assert phi.isfinite().all() and eps.isfinite().all()


@pytest.mark.parametrize('levels', [1, 2, 5])
def test_any_number_of_levels_will_do(levels):
    head = SingleDecoderRelationUNet(
        base_channels=8,
        channel_mult=(1,) * levels,
        condition_channels=(4,) * levels,
        condition_windows=(2,) * levels,
        feature_windows=(1,) * levels,
    )
    features = [torch.randn(1, 4, 6, 6)] * levels
    (out,) = head(torch.randn(1, 3, 32, 32), torch.randn(1), features)
    assert out.shape == (1, 3, 32, 32)


def test_each_output_trains_its_own_decoder_and_both_the_rest():
    head = RelationUNet(**TOY)
    features = make_features((8, 8), (4, 4), (2, 2))
    reached = []
    for i in range(2):
        head.zero_grad()
        x = torch.randn(2, 3, 8, 8)
        head(x, torch.randn(2), features)[i].square().sum().backward()
        reached.append({k for k, p in head.named_parameters() if p.grad is not None})
    names = {k for k, p in head.named_parameters() if p.requires_grad}
    shared = {k for k in names if not k.startswith('decoders.')}
    for i in range(2):
        assert reached[i] == shared | {
            k for k in names if k.startswith(f'decoders.{i}')
        }


def test_the_frequencies_of_time_are_kept_but_not_trained():
    head = RelationUNet(**TOY)
    assert 'embedding.0.frequencies' in head.state_dict()
    assert [k for k, p in head.named_parameters() if not p.requires_grad] == [
        'embedding.0.frequencies'
    ]


@pytest.mark.parametrize('level', [0, 1, 2])
def test_the_condition_of_each_level_counts(level):
    head = RelationUNet(**TOY).eval()
    x, c_noise = torch.randn(2, 3, 8, 8), torch.randn(2)
    features = make_features((8, 8), (4, 4), (2, 2))
    before = head(x, c_noise, features)
    features[level] = features[level].flip(0)
    for old, new in zip(before, head(x, c_noise, features)):
        assert (old - new).abs().max() > 1e-4


def test_one_time_serves_the_whole_batch():
    head = RelationUNet(**TOY).eval()
    x, features = torch.randn(2, 3, 8, 8), make_features((8, 8), (4, 4), (2, 2))
    one = head(x, torch.tensor([-0.3]), features)
    each = head(x, torch.full((2,), -0.3), features)
    torch.testing.assert_close(one, each)


def resize(x: np.ndarray, height: int, width: int) -> np.ndarray:
    """Linear, with corners at corners."""
    rows = np.linspace(0, x.shape[1] - 1, height)
    columns = np.linspace(0, x.shape[2] - 1, width)
    grid = np.stack(np.meshgrid(rows, columns, indexing='ij'))
    return np.stack([map_coordinates(plane, grid, order=1) for plane in x])


def window_means(x: np.ndarray, side: int) -> np.ndarray:
    _, height, width = x.shape
    means = [
        [
            x[:, i : i + side, j : j + side].sum((1, 2)) / side**2
            for j in range(0, width, side)
        ]
        for i in range(0, height, side)
    ]
    return np.moveaxis(np.array(means), -1, 0)


def coded(x: np.ndarray) -> np.ndarray:
    """Tokens (positions, channels), their places added."""
    channels, height, width = x.shape
    code = np.zeros_like(x)
    for c in range(channels):
        k = c % (channels // 2)
        wave = np.cos if k % 2 else np.sin
        frequency = 10000.0 ** (-2 * (k // 2) / (channels // 2))
        for i in range(height):
            for j in range(width):
                place = i + 1 if c < channels // 2 else j + 1
                code[c, i, j] = wave(place * frequency)
    return (x + code).reshape(channels, -1).T


def test_a_relation_layer_is_its_formula():
    layer = RelationLayer(5, 7, 16, windows=(2, 3)).double().eval()
    for parameter in layer.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    condition, features = torch.randn(1, 5, 5, 6), torch.randn(1, 7, 7, 8)
    with torch.no_grad():
        out = layer(features.double(), condition.double())[0].numpy()
    w = {k: v.numpy() for k, v in layer.state_dict().items()}

    def conv(x: np.ndarray, name: str) -> np.ndarray:
        weight, bias = w[f'{name}.weight'][:, :, 0, 0], w[f'{name}.bias']
        return np.einsum('oc,chw->ohw', weight, x) + bias[:, None, None]

    def enter(x: Tensor, name: str) -> np.ndarray:
        # Untouched statistics: mean 0, variance 1.
        gain, bias = w[f'{name}.1.weight'], w[f'{name}.1.bias']
        x = conv(x[0].double().numpy(), f'{name}.0') / np.sqrt(1 + 1e-3)
        return gain[:, None, None] * x + bias[:, None, None]

    condition, features = enter(condition, 'condition'), enter(features, 'features')
    joined = np.concatenate([resize(condition, 7, 8), features])
    shortcut = (features + conv(joined, 'join')).reshape(8, 2, 7, 8)
    deviation = shortcut - shortcut.mean((1, 2, 3), keepdims=True)
    shortcut = deviation / np.sqrt(shortcut.var((1, 2, 3), keepdims=True) + 1e-5)
    shortcut = shortcut.reshape(16, 7, 8) * w['norm.weight'][:, None, None]
    shortcut = shortcut + w['norm.bias'][:, None, None]

    queries, keys = window_means(condition, 2), window_means(features, 3)
    q = coded(queries) @ w['query.weight'].T + w['query.bias']
    k = coded(keys) @ w['key.weight'].T + w['key.bias']
    v = coded(keys) @ w['value.weight'].T + w['value.bias']
    attended = np.zeros_like(q)
    for head in range(8):
        part = slice(2 * head, 2 * head + 2)
        scores = np.exp(q[:, part] @ k[:, part].T)
        attended[:, part] = scores / scores.sum(1, keepdims=True) @ v[:, part]
    p = queries + attended.T.reshape(queries.shape)
    p = p + conv(np.maximum(conv(p, 'mlp.0'), 0), 'mlp.3')
    expected = shortcut + conv(resize(p, 7, 8), 'proj')
    np.testing.assert_allclose(out, expected, atol=1e-6)


def test_a_relation_layer_starts_as_the_authors_say():
    layer = RelationLayer(64, 64, 64, windows=(1, 1))
    torch.testing.assert_close(
        torch.stack([layer.join.weight.std(), layer.query.weight.std()]),
        torch.tensor([(2 / 128) ** 0.5, (2 / 128) ** 0.5]),
        rtol=0.05,
        atol=0,
    )
    biases = [
        module.bias
        for module in layer.modules()
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear))
    ]
    assert len(biases) == 9
    assert not any(bias.any() for bias in biases)


def test_linear_attention_reads_what_the_keys_gathered():
    attention = LinearAttention(6, num_heads=2, head_channels=4).double()
    x = torch.randn(1, 6, 3, 5, dtype=torch.double)
    q, k, v = attention.qkv(attention.norm(x)).flatten(2).view(3, 2, 4, 15)
    gathered = torch.einsum('hcn,hdn->hcd', k.softmax(2), v / 15)
    out = torch.einsum('hcn,hcd->hdn', q.softmax(1) * 4**-0.5, gathered)
    out = attention.proj_norm(attention.proj(out.reshape(1, 8, 3, 5)))
    torch.testing.assert_close(attention(x), x + out)


def test_linear_attention_makes_no_matrix_of_all_pairs():
    attention, x = LinearAttention(8), torch.randn(1, 8, 64, 64)
    sizes = []

    class Sizes(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            if isinstance(out, Tensor):
                sizes.append(out.numel())
            return out

    with Sizes(), torch.no_grad():
        attention(x)
    assert max(sizes) == 3 * 128 * 64 * 64


def test_filters_of_a_standardised_convolution_have_no_scale():
    conv, x = StandardizedConv(4, 6), torch.randn(1, 4, 5, 5)
    before = conv(x)
    conv.weight.data = 1000 * conv.weight.data + 7
    torch.testing.assert_close(conv(x), before, rtol=1e-2, atol=1e-2)


def test_time_scales_a_block():
    block, x = StandardizedBlock(8, 8, 4), torch.randn(1, 8, 4, 4)
    outputs = [block(x, torch.full((1, 4), value)) for value in (-1.0, 1.0)]
    assert (outputs[0] - outputs[1]).abs().max() > 1e-2


def test_the_channel_norm_leaves_mean_0_and_variance_1_at_each_position():
    y = LayerNorm2d(16)(5 + 3 * torch.randn(2, 16, 3, 4))
    torch.testing.assert_close(y.mean(1), torch.zeros(2, 3, 4), rtol=0, atol=1e-5)
    variance = y.var(1, correction=0)
    torch.testing.assert_close(variance, torch.ones(2, 3, 4), rtol=0, atol=1e-3)


def spectrum_of(gate: FourierFilter, height: int, width: int) -> Tensor:
    """The impulse response of a filter, without the columns that must be real."""
    impulse = torch.zeros(1, 2, height, width)
    impulse[..., 0, 0] = 1
    return torch.fft.rfft2(gate(impulse))[0, :, :, 1 : width // 2].detach()


@pytest.mark.parametrize('size', [(4, 6), (5, 7)])
def test_a_fourier_filter_interpolates_between_its_frequencies(size):
    h, w = size
    gate = FourierFilter(2, size)
    own = torch.view_as_complex(gate.response.detach())
    doubled = spectrum_of(gate, 2 * h, 2 * w)
    # Its own frequencies are every second one of a map of twice the size.
    torch.testing.assert_close(
        doubled[:, ::2, 1::2], own[:, :, 1 : (w + 1) // 2], rtol=1e-4, atol=1e-6
    )
    between = (own + own.roll(-1, dims=1)) / 2
    torch.testing.assert_close(
        doubled[:, 1::2, 1::2], between[:, :, 1 : (w + 1) // 2], rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize('size', [(4, 6), (3, 8), (9, 5), (1, 1)])
@pytest.mark.parametrize('own', [(4, 6), (5, 7)])
def test_a_flat_fourier_filter_is_a_gain_at_any_size(size, own):
    gate = FourierFilter(2, own)
    gate.response.data[:] = torch.tensor([0.5, 0.0])
    x = torch.randn(1, 2, *size)
    torch.testing.assert_close(gate(x), 0.5 * x)


@pytest.mark.parametrize(('deepest', 'groups'), [(8, 2), (24, 6), (32, 8), (64, 8)])
def test_stem_and_decoupling_group_four_channels_at_least(deepest, groups):
    widths = dict(base_channels=8, channel_mult=(1, 2, deepest // 8))
    head = RelationUNet(**{**TOY, **widths})
    assert head.stem[1].num_groups == 2
    for decoder in head.decoders:
        assert decoder.decouple.norm.num_groups == groups


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(base_channels=12), 'multiple of 8.*base_channels=12'),
        (
            dict(condition_windows=(4, 2)),
            r'3 levels, but condition_windows=\(4, 2\)\. Give one',
        ),
        (dict(feature_windows=(4, 2, 0)), r'feature_windows=\(4, 2, 0\)'),
        (dict(condition_channels=(4, 6)), r'condition_channels=\(4, 6\)'),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        RelationUNet(**{**TOY, **settings})


def test_a_relation_layer_refuses_a_width_that_heads_do_not_divide():
    with pytest.raises(ValueError, match=r'24 channels.*16 heads.*multiple of both'):
        RelationLayer(4, 4, 24, windows=(1, 1), num_heads=16)


@pytest.mark.parametrize(
    ('features', 'given'),
    [
        (make_features((8, 8), (4, 4)), r'\(4, 6\)'),
        (make_features((8, 8), (4, 4), (2, 2))[::-1], r'\(10, 6, 4\)'),
        (None, r'\(\)'),
    ],
)
def test_features_of_other_widths_are_refused(features, given):
    head, x = RelationUNet(**TOY), torch.randn(2, 3, 8, 8)
    message = rf'widths \(4, 6, 10\), but got {given}\. Set condition_channels'
    with pytest.raises(ValueError, match=message):
        head(x, torch.zeros(1), features)


def test_a_folded_convolution_has_the_standardised_filters():
    conv, x = StandardizedConv(3, 8), torch.randn(2, 3, 5, 5)
    torch.testing.assert_close(conv.folded()(x), conv(x))
    assert type(conv.folded()) is torch.nn.Conv2d


@torch.no_grad()
def test_a_folded_head_has_the_same_outputs_bit_by_bit():
    head, features = RelationUNet(**TOY).eval(), make_features((7, 5), (4, 3), (2, 2))
    inputs = torch.randn(2, 3, 9, 13), torch.randn(2), features
    expected = head(*inputs)
    fold_weights(head)
    assert not any(isinstance(layer, StandardizedConv) for layer in head.modules())
    assert all(map(torch.equal, head(*inputs), expected))
