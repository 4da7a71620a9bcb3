"""Samplers against the authors' code: its results for a network given by a formula."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from mmadm.diffusion import (
    ADMProcess,
    ADMSampler,
    EqualStepGrid,
    LinearNoise,
    RecomposingSampler,
    SplitStepGrid,
    UniformGrid,
)

SQRT = ADMProcess()
LINEAR = ADMProcess(noise=dict(type=LinearNoise))
TO_SIGMA_MIN = UniformGrid(t_last=0.01**2)
PIXEL, LATENT = 1.0, 0.5  # what the result is divided by


class Noise:
    """Noise of call c: ``sqrt(2) sin(1.3 i + 0.5 + c)`` over the elements i."""

    def __init__(self) -> None:
        self.calls = -1

    def __call__(self) -> Tensor:
        self.calls += 1
        i = np.arange(2 * 3 * 8 * 8) + 1
        values = math.sqrt(2) * np.sin(1.3 * i + 0.5 + self.calls)
        return torch.tensor(values).view(2, 3, 8, 8)


def network(x_t: Tensor, t: float) -> tuple[Tensor, Tensor]:
    x = x_t.float()
    phi, eps = -0.8 * torch.tanh(x) + 0.1 * t, 0.7 * x - 0.2
    return phi.double(), eps.double()


def algorithm_2(grid, clip=None) -> ADMSampler:
    return ADMSampler(eta=1.0, correct=True, grid=grid, clip=clip)


def deterministic(grid) -> ADMSampler:
    return ADMSampler(eta=0.0, correct=False, grid=grid)


# Where the authors' "N steps" are N + 1 function evaluations, N + 1 stands here.
ROWS = {
    'ADM const/pixel deterministic': (
        (SQRT, RecomposingSampler(grid=TO_SIGMA_MIN, clip=1.0), 10, PIXEL),
        (0.5428549, 0.3957849, 208.4563, 1.0, 0.598910, 0.014494),
    ),
    'ADM const/latent deterministic': (
        (SQRT, deterministic(TO_SIGMA_MIN), 10, LATENT),
        (0.5324956, 0.4606956, 204.4783, 1.0, 0.697821, 0.0),
    ),
    'ADM const/pixel stochastic': (
        (SQRT, algorithm_2(TO_SIGMA_MIN, clip=1.0), 10, PIXEL),
        (0.6105405, 0.3633666, 234.4475, 1.0, 0.447406, 0.074168),
    ),
    'ADM const/latent stochastic': (
        (SQRT, algorithm_2(TO_SIGMA_MIN), 10, LATENT),
        (0.5884634, 0.443762, 225.9699, 1.0, 0.394814, 0.0),
    ),
    'ADM const2/pixel deterministic': (
        (LINEAR, deterministic(EqualStepGrid()), 10, PIXEL),
        (0.5417235, 0.4047516, 208.0218, 1.0, 0.607574, 0.0),
    ),
    'ADM const2/latent deterministic': (
        (LINEAR, deterministic(EqualStepGrid()), 10, LATENT),
        (0.5343543, 0.4612796, 205.192, 1.0, 0.715148, 0.0),
    ),
    'ADM const2/pixel stochastic': (
        (LINEAR, algorithm_2(TO_SIGMA_MIN, clip=1.0), 10, PIXEL),
        (0.6439672, 0.3297748, 247.2834, 1.0, 0.492823, 0.159932),
    ),
    'DDM const/pixel': (
        (SQRT, algorithm_2(SplitStepGrid(), clip=1.0), 11, PIXEL),
        (0.6320377, 0.3224026, 242.7025, 0.966147, 0.395016, 0.183425),
    ),
    'DDM const/latent': (
        (SQRT, algorithm_2(SplitStepGrid()), 11, LATENT),
        (0.6085972, 0.4281354, 233.7013, 1.0, 0.290032, 0.0),
    ),
    'DiffusionEdge, N = 5': (
        (SQRT, algorithm_2(SplitStepGrid()), 6, LATENT),
        (0.6793299, 0.3502865, 260.8627, 1.0, 0.326578, 0.203039),
    ),
}


@pytest.mark.parametrize('row', ROWS)
def test_samples_equal_those_of_the_authors_code(row):
    (process, sampler, num_steps, scale), golden = ROWS[row]
    image = sampler(network, process, Noise(), num_steps)
    image = ((image / scale + 1) / 2).clamp(0, 1)

    mean, std, total, *first = golden
    assert image.sum().item() == pytest.approx(total, rel=1e-5)
    assert image.mean().item() == pytest.approx(mean, rel=1e-5)
    assert image.std().item() == pytest.approx(std, rel=1e-5)
    assert image.flatten()[:3].tolist() == pytest.approx(first, abs=1e-5)
