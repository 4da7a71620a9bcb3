"""The conditional head and its layers equal the authors' ones, number by number."""

import pytest
import torch
from torch import Tensor, nn

from mmadm.checkpoints.converters import relation_keys
from mmadm.checkpoints.converters.head_keys import (
    FULL_ATTENTION,
    GATE,
    LINEAR_ATTENTION,
    STANDARDIZED_BLOCK,
    relation_names,
)
from mmadm.diffusion import (
    ADMProcess,
    Preconditioner,
)
from mmadm.models import (
    FourierFilter,
    RelationUNet,
    SingleDecoderRelationUNet,
    SpatialAttention,
)
from mmadm.models.heads.relation_layers import (
    FullAttention,
    LinearAttention,
    StandardizedBlock,
    position_embedding,
)
from tests.golden import assert_golden, authors_weights, load_block, waves

T = torch.tensor([0.3, 0.9])


def run(
    preconditioner: Preconditioner,
    size: int,
    condition_size: int,
    head_type: type[RelationUNet] = RelationUNet,
    **settings,
) -> tuple:
    head = head_type(base_channels=16, **settings).eval()
    head.load_state_dict(relation_keys(authors_weights(head, relation_names(levels=4))))
    features = [
        waves(
            (2, 128 * 2**i, condition_size // 2**i, condition_size // 2**i),
            0.3 + 0.1 * i,
            0.2 * i,
        )
        for i in range(4)
    ]

    def network(x: Tensor, c_noise: Tensor) -> tuple[Tensor, ...]:
        return head(x, c_noise, features)

    x = waves((2, 3, size, size), 0.61, 0.4, 1.2)
    with torch.no_grad():
        return preconditioner(network, ADMProcess(), x, T)


NETWORKS = {
    'ADM cond_unet aligned': (
        ('conditional', 8, 8, {}),
        (-0.02080909, 0.4783244, 149.1644, -0.735869, -0.875217, -0.722026),
        (0.1839329, 0.6713287, 229.5178, 0.758720, 0.856589, 0.703601),
    ),
    'ADM cond_unet sr': (
        ('conditional', 32, 8, dict(feature_windows=(4, 2, 1, 1))),
        (-0.01316026, 0.4625786, 2342.058, -0.788167, -0.871639, -0.537392),
        (0.1208349, 0.6593748, 3554.906, 0.735390, 0.870505, 0.814860),
    ),
    'Edge unet': (
        ('diffusion_edge', 16, 16, dict(gate=dict(type=FourierFilter, size=(2, 2)))),
        (-0.01829388, 0.4318263, 523.8404, 0.669973, 0.749972, 0.557247),
        (0.172048, 0.6505378, 883.2505, 0.766229, 0.877171, 0.719264),
    ),
}


@pytest.mark.parametrize('row', NETWORKS)
def test_the_head_equals_the_authors_network(row):
    (version, size, condition_size, settings), *golden = NETWORKS[row]
    preconditioner = Preconditioner(scaling=version)
    outputs = run(preconditioner, size, condition_size, **settings)
    for output, expected in zip(outputs, golden, strict=True):
        assert_golden(output, expected)


def test_one_decoder_is_half_of_two_and_eps_is_solved():
    """As in the authors' single-decoder network, from the first decoder's phi."""
    preconditioner = Preconditioner(scaling='conditional', predicts='phi')
    phi, eps = run(preconditioner, 8, 8, SingleDecoderRelationUNet)
    assert_golden(phi, NETWORKS['ADM cond_unet aligned'][1])
    x, t = waves((2, 3, 8, 8), 0.61, 0.4, 1.2), T.view(-1, 1, 1, 1)
    torch.testing.assert_close(eps, (x - (t - 1) * phi) / t.sqrt())


@pytest.mark.parametrize(
    ('head_type', 'expected'),
    [(RelationUNet, 2_569_352), (SingleDecoderRelationUNet, 1_709_264)],
)
def test_the_golden_networks_have_the_authors_size(head_type, expected):
    head = head_type(base_channels=16)
    assert sum(parameter.numel() for parameter in head.parameters()) == expected


MAP = waves((2, 16, 6, 6), 0.41, 0.2)
BLOCKS = {
    'SpatialAtt(6)': (
        (SpatialAttention(6), GATE, waves((2, 6, 5, 4), 0.5, 0.3)),
        (0.0009205821, 0.04813951, 9.25398, 0.063394, 0.083726, 0.084398),
    ),
    'ResnetBlock': (
        (
            StandardizedBlock(16, 24, 8),
            STANDARDIZED_BLOCK,
            MAP,
            waves((2, 8), 0.53, 0.1),
        ),
        (0.2021876, 0.6002828, 799.7694, 0.228702, 0.255649, 0.244705),
    ),
    'LinearAttention res': (
        (LinearAttention(16), LINEAR_ATTENTION, MAP),
        (-0.008284337, 1.221503, 1168.297, 1.202276, 1.481472, 1.619262),
    ),
    'Attention res': (
        (FullAttention(16), FULL_ATTENTION, MAP),
        (0.009398449, 0.7139768, 738.5301, 0.580705, 0.864867, 1.013602),
    ),
    'BlockFFT(4,6,5)': (
        (FourierFilter(4, (6, 5)), {}, waves((2, 4, 6, 5), 0.61, 0.4)),
        (0.0001009812, 0.1445692, 31.9662, 0.002220, -0.153639, -0.162397),
    ),
}


@pytest.mark.parametrize('row', BLOCKS)
def test_a_layer_equals_the_authors_layer(row):
    (block, names, *inputs), golden = BLOCKS[row]
    block: nn.Module = load_block(block, names)
    with torch.no_grad():
        assert_golden(block(*inputs), golden)


def test_the_position_embedding_is_the_authors():
    code = position_embedding(16, 3, 4).permute(1, 2, 0)
    assert_golden(code, (0.417396, 0.5722642, 108.2887, 0.841471, 0.540302, 0.099833))
