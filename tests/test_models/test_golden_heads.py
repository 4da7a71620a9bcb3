"""The unconditional head equals the authors' network, number by number.

Weights and inputs are formulas of the authors' parameter names, so their published
outputs need no files.
"""

import math
import zlib

import numpy as np
import pytest
import torch
from torch import Tensor

from mmadm.diffusion import (
    ADMProcess,
    ImagePreconditioner,
    PlainPreconditioner,
    Preconditioner,
)
from mmadm.models import DualDecoderUNet

TINY = dict(
    base_channels=64,
    channel_mult=(1, 2),
    num_blocks=1,
    attention_levels=(1,),
    augment_dim=9,
)
# Of a 16 x 16 image: their names carry the resolution of each level.
SIDES = (16, 8)


def formula(key: str, shape: torch.Size) -> Tensor:
    """The weights that belong to a name of the authors'."""
    code = zlib.crc32(key.encode())
    phase = (code % 10000) / 10000 * 2 * math.pi
    frequency = 0.5 + ((code >> 16) % 1000) / 1000
    values = np.sin(frequency * (np.arange(math.prod(shape)) + 1) + phase)
    if key.endswith('bias'):
        values = 0.1 * values
    elif len(shape) == 1:
        values = 1 + 0.1 * values
    else:
        values = values * math.sqrt(2 / math.prod(shape[1:]))
    return torch.tensor(values, dtype=torch.float32).view(shape)


def waves(
    shape: tuple, frequency: float, phase: float, amplitude: float = 1.0
) -> Tensor:
    i = np.arange(math.prod(shape)) + 1
    values = amplitude * np.sin(frequency * i + phase)
    return torch.tensor(values, dtype=torch.float32).view(shape)


BLOCK = {
    'shortcut': 'skip',
    'attention.norm': 'norm2',
    'attention.qkv': 'qkv',
    'attention.proj': 'proj',
}
DECOUPLE = {'conv': '0', 'gate.map': '1.map', 'gate.query': '1.q_conv'}
DECOUPLE['gate.key'] = '1.k_conv'


def authors_module(name: str) -> str:
    """Name of a module of ours in the authors' network."""
    part, *rest = name.split('.')
    if part == 'embedding':
        layers = {
            'augment': 'map_augment',
            'mlp.0': 'map_layer0',
            'mlp.2': 'map_layer1',
        }
        return layers['.'.join(rest)]
    if part == 'encoder':
        _, level, i, *inside = rest
        entry = 'conv' if level == '0' else 'down'
        block = entry if i == '0' else f'block{int(i) - 1}'
        return join(f'enc.{side(int(level))}_{block}', inside)
    decoder, kind, *inside = rest
    number = '' if decoder == '0' else '2'
    if kind == 'decouple':
        return f'decouple{int(decoder) + 1}.{DECOUPLE[".".join(inside)]}'
    if kind in ('norm', 'out'):
        return f'out_{"conv" if kind == "out" else kind}{number}'
    i, *inside = inside
    if kind == 'bottom':
        return join(f'dec{number}.{side(-1)}_in{i}', inside)
    if kind == 'ups':
        return join(f'dec{number}.{side(-2 - int(i))}_up', inside)
    block, *inside = inside
    return join(f'dec{number}.{side(-1 - int(i))}_block{block}', inside)


def side(level: int) -> str:
    return f'{SIDES[level]}x{SIDES[level]}'


def join(start: str, inside: list[str]) -> str:
    name = '.'.join(inside)
    return '.'.join(filter(None, [start, BLOCK.get(name, name)]))


def make_head(out_channels: tuple = (3, 3)) -> DualDecoderUNet:
    head = DualDecoderUNet(out_channels=out_channels, **TINY).eval()
    weights = {}
    for key, tensor in head.state_dict().items():
        module, _, kind = key.rpartition('.')
        theirs = formula(f'model.{authors_module(module)}.{kind}', tensor.shape)
        if module.endswith('qkv'):
            # Theirs is (head, channel, 3), ours (3, head, channel).
            theirs = theirs.unflatten(0, (-1, 3)).transpose(0, 1).flatten(0, 1)
        weights[key] = theirs
    head.load_state_dict(weights)
    return head


def assert_golden(output: Tensor, golden: tuple) -> None:
    mean, std, total, *first = golden
    output = output.double()
    assert output.abs().sum().item() == pytest.approx(total, rel=1e-5)
    assert output.std().item() == pytest.approx(std, rel=1e-5)
    assert output.mean().item() == pytest.approx(mean, rel=1e-4)
    assert output.flatten()[:3].tolist() == pytest.approx(first, abs=2e-5)


X = waves((2, 3, 16, 16), 0.61, 0.4, 1.2)
T = torch.tensor([0.3, 0.9])
LABELS = waves((2, 9), 0.9, 0.1)


def run(preconditioner: Preconditioner, head: DualDecoderUNet, labels=None) -> tuple:
    def network(x: Tensor, c_noise: Tensor) -> tuple[Tensor, ...]:
        return head(x, c_noise, augment_labels=labels)

    with torch.no_grad():
        return preconditioner(network, ADMProcess(), X, T)


@pytest.mark.parametrize(
    ('preconditioner', 'labels', 'golden'),
    [
        (
            Preconditioner(1.0),
            None,
            (
                (0.07158205, 1.157366, 1530.391, -1.361951, -1.646448, -1.133932),
                (-0.01307546, 0.7626127, 1020.037, 0.709844, 0.742921, 0.824663),
            ),
        ),
        (
            Preconditioner(1.0),
            LABELS,
            (
                (0.07156766, 1.157271, 1530.223, -1.360637, -1.644378, -1.131807),
                (-0.01307525, 0.7626137, 1020.035, 0.709842, 0.742909, 0.824646),
            ),
        ),
        (
            PlainPreconditioner(1.0),
            None,
            (
                (0.08908639, 0.9606104, 1239.293, -0.748937, -0.948409, -0.476151),
                (-0.02996892, 0.387732, 493.8247, 0.006722, -0.111808, 0.212042),
            ),
        ),
    ],
    ids=['plain', 'augmented', 'raw'],
)
def test_two_decoders_answer_as_the_authors_network(preconditioner, labels, golden):
    for output, expected in zip(run(preconditioner, make_head(), labels), golden):
        assert_golden(output, expected)


def test_one_decoder_answers_as_the_authors_network():
    outputs = run(ImagePreconditioner(1.0), make_head((3,)))
    golden = (
        (0.07158205, 1.157366, 1530.391, -1.361951, -1.646448, -1.133932),
        (0.03798221, 0.6609592, 854.991, 0.114716, 0.084046, 0.282668),
    )
    for output, expected in zip(outputs, golden):
        assert_golden(output, expected)
