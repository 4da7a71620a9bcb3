"""The unconditional head equals the authors' networks, number by number."""

import pytest
import torch
from torch import Tensor

from mmadm.checkpoints.converters import unconditional_keys
from mmadm.checkpoints.converters.head_keys import unconditional_names
from mmadm.diffusion import (
    ADMProcess,
    LinearNoise,
    Preconditioner,
)
from mmadm.models import DualDecoderUNet, NCSNppUNet, SingleDecoderUNet
from tests.golden import assert_golden, authors_weights, waves

TINY = dict(
    base_channels=64,
    channel_mult=(1, 2),
    num_blocks=1,
    attention_levels=(1,),
    augment_dim=9,
)
X = waves((2, 3, 16, 16), 0.61, 0.4, 1.2)
T = torch.tensor([0.3, 0.9])
LABELS = waves((2, 9), 0.9, 0.1)


def load(head: DualDecoderUNet) -> DualDecoderUNet:
    # The authors' names carry the resolution of each level.
    names = unconditional_names(sides=(16, 8), num_blocks=1)
    if isinstance(head, NCSNppUNet):
        names = {k: v for k, v in names.items() if not k.startswith('model.out_')}
    theirs = authors_weights(head, names, frequencies='freqs')
    head.load_state_dict(unconditional_keys(theirs))
    return head.eval()


def run(head_type: type, preconditioner, labels=None, noise=None, **settings) -> tuple:
    head = load(head_type(**{**TINY, **settings}))

    def network(x: Tensor, c_noise: Tensor) -> tuple[Tensor, ...]:
        return head(x, c_noise, augment_labels=labels)

    process = ADMProcess(noise=dict(type=noise)) if noise else ADMProcess()
    with torch.no_grad():
        return preconditioner(network, process, X, T)


TWO = (DualDecoderUNet, Preconditioner(1.0))
ONE = (SingleDecoderUNet, Preconditioner(1.0, predicts='phi'))
ROWS = {
    'ADM uncond_unet': (
        (TWO, {}),
        (0.07158205, 1.157366, 1530.391, -1.361951, -1.646448, -1.133932),
        (-0.01307546, 0.7626127, 1020.037, 0.709844, 0.742921, 0.824663),
    ),
    'ADM uncond_unet augmented': (
        (TWO, dict(labels=LABELS)),
        (0.07156766, 1.157271, 1530.223, -1.360637, -1.644378, -1.131807),
        (-0.01307525, 0.7626137, 1020.035, 0.709842, 0.742909, 0.824646),
    ),
    'ADM uncond_unet raw': (
        ((DualDecoderUNet, Preconditioner(1.0, scaling='input_only')), {}),
        (0.08908639, 0.9606104, 1239.293, -0.748937, -0.948409, -0.476151),
        (-0.02996892, 0.387732, 493.8247, 0.006722, -0.111808, 0.212042),
    ),
    'ADM uncond_unet_sd': (
        (ONE, {}),
        (0.07158205, 1.157366, 1530.391, -1.361951, -1.646448, -1.133932),
        (0.03798221, 0.6609592, 854.991, 0.114716, 0.084046, 0.282668),
    ),
    'ADM uncond_unet_sd_3': (
        (ONE, dict(noise=LinearNoise, skip_scale=0.5)),
        (0.05463685, 1.22394, 1628.719, -1.554537, -1.880913, -1.374621),
        (0.03455341, 0.7483847, 980.4018, -0.239926, -0.393637, -0.045529),
    ),
    'DDM uncond_unet': (
        ((DualDecoderUNet, Preconditioner(scaling='ddm_public')), {}),
        (0.04170199, 0.6885311, 908.7791, -0.879899, -1.042152, -0.755819),
        (-0.01419428, 0.6676636, 882.4544, 0.604110, 0.631443, 0.695105),
    ),
    'DDM uncond_unet raw': (
        ((DualDecoderUNet, Preconditioner(scaling='ddm_public_input_only')), {}),
        (0.09297543, 0.8465311, 1075.671, -0.640629, -0.772158, -0.348954),
        (-0.02979303, 0.3405662, 426.9844, 0.064752, -0.034108, 0.239233),
    ),
    'ADM SongUNet': (
        ((NCSNppUNet, Preconditioner(1.0)), dict(base_channels=32)),
        (0.0715197, 0.5694429, 691.4097, -0.958601, -1.132496, -0.870996),
        (-0.01390627, 0.7176763, 948.6015, 0.584904, 0.738298, 0.598593),
    ),
    'DDM SongUNet': (
        ((NCSNppUNet, Preconditioner(scaling='ddm_public')), dict(base_channels=32)),
        (0.0367083, 0.4358165, 515.5887, -0.732571, -0.861514, -0.669062),
        (-0.01541207, 0.6110625, 790.2263, 0.428464, 0.588173, 0.503910),
    ),
    'DDM uncond_unet_sd': (
        ((SingleDecoderUNet, Preconditioner(scaling='ddm_public', predicts='phi')), {}),
        (0.04170199, 0.6885311, 908.7791, -0.879899, -1.042152, -0.755819),
        (0.01944051, 0.7371799, 995.6128, 0.730787, 0.856349, 0.765904),
    ),
}


@pytest.mark.parametrize('row', ROWS)
def test_the_head_equals_the_authors_network(row):
    (network, settings), *golden = ROWS[row]
    outputs = run(*network, **settings)
    for output, expected in zip(outputs, golden, strict=True):
        assert_golden(output, expected)


def test_one_decoder_without_preconditioning_is_half_of_two():
    """Where the authors' eps is solved from phi and the unscaled input."""
    phi, eps = run(
        SingleDecoderUNet, Preconditioner(1.0, scaling='input_only', predicts='phi')
    )
    (_, _), *golden = ROWS['ADM uncond_unet raw']
    assert_golden(phi, golden[0])
    t = T.view(-1, 1, 1, 1)
    torch.testing.assert_close(eps, (X - (t - 1) * phi) / t.sqrt())
