"""Compiled networks: in one piece, seldom, and otherwise like networks that are not."""

import copy

import pytest
import torch
from torch import Tensor, nn

from mmadm.engine.hooks.acceleration import _recomputed
from mmadm.models import (
    ConvBranchUNet,
    ConvEncoder,
    CrossAttentionFusion,
    DualDecoderUNet,
    FourierFilter,
    NCSNppUNet,
    SingleDecoderRelationUNet,
    SingleDecoderUNet,
    SwinEncoder,
)
from mmadm.models.heads.layers import ResBlock

_WIDTHS = (8, 16)
_UNET = dict(base_channels=8, channel_mult=(1, 2), num_blocks=1, attention_levels=(1,))
_SMALL = dict(base_channels=8, channel_mult=(1,), num_blocks=1, attention_levels=())
_CONDITIONAL = dict(condition_channels=_WIDTHS)
_RELATION = dict(
    base_channels=8,
    channel_mult=(1, 2),
    condition_windows=(2, 1),
    feature_windows=(2, 1),
    dropout=0.0,
    **_CONDITIONAL,
)
_HEADS = {
    'two decoders': (DualDecoderUNet, _UNET | dict(augment_dim=9)),
    'concatenation': (SingleDecoderUNet, _UNET | _CONDITIONAL),
    'cross attention': (
        SingleDecoderUNet,
        _UNET | _CONDITIONAL | dict(fusion=dict(type=CrossAttentionFusion)),
    ),
    'branch': (ConvBranchUNet, _UNET),
    'NCSN++': (NCSNppUNet, _UNET | dict(out_channels=(3,))),
    'relation': (SingleDecoderRelationUNet, _RELATION),
    'relation, filter': (
        SingleDecoderRelationUNet,
        _RELATION
        | dict(channel_mult=(1,), condition_channels=(8,))
        | dict(condition_windows=(1,), feature_windows=(1,))
        | dict(gate=dict(type=FourierFilter, size=(8, 8))),
    ),
}


class Compiler:
    """Runs what it is given, and counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, graph: torch.fx.GraphModule, inputs: list[Tensor]):
        self.calls += 1
        return graph.forward


@pytest.fixture(autouse=True)
def nothing_compiled():
    """Each test begins as a new process does."""
    torch._dynamo.reset()


def make_head(name: str) -> nn.Module:
    torch.manual_seed(0)
    kind, options = _HEADS[name]
    head = kind(**options)
    # Layers that begin with zero would hide what is behind them.
    for parameter in head.parameters():
        if parameter.requires_grad and not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return head


def make_inputs(head: nn.Module, count: int = 2, size: int = 16) -> list[Tensor]:
    features = [
        torch.randn(count, width, size // 2**i, size // 2**i)
        for i, width in enumerate(head.condition_channels)
    ]
    inputs = [torch.randn(count, 3, size, size), torch.rand(count), features]
    augment = getattr(getattr(head, 'embedding', None), 'augment', None)
    if augment is not None:
        inputs.append(torch.randn(count, augment.in_features))
    return inputs


@pytest.mark.parametrize('name', _HEADS)
def test_a_head_is_one_graph_for_all_times(name):
    head, compiler = make_head(name), Compiler()
    plain = make_head(name)
    head.compile(backend=compiler, fullgraph=True)
    for _ in range(3):  # another batch, other times
        inputs = make_inputs(head)
        torch.testing.assert_close(head(*inputs), plain(*inputs))
    assert compiler.calls == 1


def make_swin() -> SwinEncoder:
    encoder = SwinEncoder('tiny')
    # Two stages have all that there is.
    del encoder.backbone.stages[2:]
    encoder.backbone.out_indices = (0, 1)
    return encoder


@pytest.mark.parametrize(
    'make',
    [lambda: ConvEncoder(channels=(8, 16)), make_swin],
    ids=['convolutions', 'Swin'],
)
def test_a_condition_encoder_is_one_graph(make):
    torch.manual_seed(0)
    encoder, compiler = make().eval(), Compiler()
    image = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        expected = encoder(image)
        encoder.compile(backend=compiler, fullgraph=True)
        torch.testing.assert_close(encoder(image), expected)
    assert compiler.calls == 1


def test_other_sizes_are_soon_compiled_no_more():
    """Code for one size of batch and image, for any batch, and for any of both."""
    head, compiler = SingleDecoderUNet(**_SMALL).eval(), Compiler()
    head.compile(backend=compiler)
    seen = []
    for count, size in [(2, 16), (3, 16), (4, 16), (4, 24), (5, 20)]:
        inputs = make_inputs(head, count, size)
        with torch.no_grad():
            torch.testing.assert_close(head(*inputs), head.forward(*inputs))
        seen.append(compiler.calls)
    assert seen == [1, 2, 2, 3, 3]


def test_weights_that_are_swapped_in_place_are_seen():
    """As MMEngine's hook swaps in the average to validate, and a checkpoint loads."""
    head, other = (SingleDecoderUNet(**_SMALL).eval() for _ in range(2))
    compiler, inputs = Compiler(), make_inputs(head)
    head.compile(backend=compiler)
    with torch.no_grad():
        before = head(*inputs)
        head.load_state_dict(other.state_dict())
        after = head(*inputs)
        torch.testing.assert_close(after, other(*inputs))
    assert not torch.allclose(after[0], before[0])
    assert list(head.state_dict()) == list(other.state_dict())


def test_recomputed_blocks_can_be_compiled():
    """The backward pass is compiled too, and recomputes inside of it."""
    torch.manual_seed(0)
    head = SingleDecoderUNet(**_SMALL)
    plain = copy.deepcopy(head)
    for block in head.modules():
        if isinstance(block, ResBlock):
            block.forward = _recomputed(block.forward)
    head.compile(backend='aot_eager', fullgraph=True)
    inputs = make_inputs(head)
    for network in (head, plain):
        network(*inputs)[0].square().mean().backward()
    for found, expected in zip(head.parameters(), plain.parameters()):
        torch.testing.assert_close(found.grad, expected.grad, rtol=1e-4, atol=1e-6)
