"""The objective, against the numbers of the authors' code.

Inputs and network are formulas, so that the published totals need no files.
"""

import numpy as np
import pytest
import torch

from mmadm.diffusion import ADMProcess, LinearNoise, TimeWeighting
from mmadm.models import ADMLoss, AuthorsLoss

SHAPE = (4, 3, 8, 8)
T = torch.tensor([0.05, 0.3, 0.7, 0.99])


def waves(frequency: float, phase: float, amplitude: float) -> torch.Tensor:
    i = np.arange(np.prod(SHAPE)) + 1
    values = amplitude * np.sin(frequency * i + phase)
    return torch.tensor(values, dtype=torch.float32).view(SHAPE)


def terms(process: ADMProcess, rule: str | None, criterion: ADMLoss) -> dict:
    """phi term and noise term per image, and what reconstructs the image."""
    x0, eps = waves(0.37, 0.2, 0.9), waves(1.3, 0.5, 2**0.5)
    phi = process.target(x0)
    x_t = process.diffuse(x0, phi, eps, T)
    phi_hat = -0.8 * torch.tanh(x_t) + 0.1 * T.view(-1, 1, 1, 1)
    eps_hat = 0.7 * x_t - 0.2
    weights = (T**0, T**0)
    if rule is not None:
        weights = TimeWeighting(rule, cap=1e9)(T, coefficients=None)
    return dict(
        simple=criterion(phi_hat, phi, weights[0])
        + criterion(eps_hat, eps, weights[1]),
        rec_error=(process.denoised(x_t, phi_hat, eps_hat, T) - x0).abs().flatten(1),
        extra=criterion.extra(
            lambda: process.denoised(x_t, phi_hat, eps_hat, T), x0, T
        ),
    )


SQRT, LINEAR = ADMProcess(), ADMProcess(noise=dict(type=LinearNoise))
ROWS = [
    # process, weights, distance, "logged simple" of the authors' code
    (SQRT, 'authors', 'l2', 4.597204),
    (SQRT, 'authors', 'l1_l2', 7.194883),
    (SQRT, None, 'l2', 0.8572681),
    (SQRT, None, 'l1_l2', 0.9396219),
    (SQRT, 'authors_2023', 'l2', 4.825808),
    (SQRT, 'authors_2023', 'l1_l2', 7.497639),
    (SQRT, 'diffusion_edge', 'l1_l2', 2.273136),
    (SQRT, 'diffusion_edge', 'l2', 1.869734),
    (LINEAR, 'authors_linear_noise', 'l2', 325.0527),
    (LINEAR, 'authors_linear_noise', 'l1_l2', 538.0209),
    (LINEAR, None, 'l2', 0.9476011),
    (LINEAR, None, 'l1_l2', 1.006262),
]


@pytest.mark.parametrize(('process', 'rule', 'distance', 'logged'), ROWS)
def test_both_terms_are_those_of_the_authors_code(process, rule, distance, logged):
    mean = terms(process, rule, ADMLoss(distance))['simple'].mean()
    assert mean.item() == pytest.approx(logged, rel=1e-5)
    total = terms(process, rule, ADMLoss(distance, 'sum'))['simple'].mean()
    assert total.item() == pytest.approx(logged * 3 * 8 * 8, rel=1e-5)


# Total of the authors' latent loss, which contains their outer product by accident.
TOTALS = [
    (SQRT, 'authors', 'l2', 1126.235),
    (SQRT, 'authors', 'l1_l2', 1624.989),
    (SQRT, None, 'l2', 408.1672),
    (SQRT, None, 'l1_l2', 423.9791),
    (LINEAR, 'authors_linear_noise', 'l2', 62619.02),
    (LINEAR, 'authors_linear_noise', 'l1_l2', 103508.9),
    (LINEAR, None, 'l1_l2', 402.0999),
]


@pytest.mark.parametrize(('process', 'rule', 'distance', 'total'), TOTALS)
def test_their_total_is_ours_with_their_accident(process, rule, distance, total):
    computed = terms(process, rule, AuthorsLoss(distance))
    errors, weight = computed['rec_error'].sum(1), -T.log() / 2
    accident = torch.outer(weight, errors).sum() / len(T)
    theirs = computed['simple'].mean() + accident
    assert theirs.item() == pytest.approx(total, rel=1e-5)

    meant = (weight * errors).mean()
    torch.testing.assert_close(computed['extra']['loss_reconstruction'], meant)


@pytest.mark.parametrize(
    ('rule', 'weight'), [('linear', 1 - T), ('square', (1 - T) ** 2)]
)
def test_older_reconstruction_terms(rule, weight):
    criterion = AuthorsLoss(reduction='mean', reconstruction=rule)
    computed = terms(SQRT, None, criterion)
    expected = (weight * computed['rec_error'].mean(1)).mean()
    torch.testing.assert_close(computed['extra']['loss_reconstruction'], expected)


def test_the_papers_loss_has_no_extra_term():
    assert terms(SQRT, 'paper', ADMLoss())['extra'] == {}


def test_each_parameter_of_phi_has_its_own_weight():
    pred = torch.zeros(2, 4, 3, 3)
    target = torch.cat([torch.ones(2, 2, 3, 3), 2 * torch.ones(2, 2, 3, 3)], dim=1)
    weight = torch.tensor([[1.0, 10.0], [3.0, 0.0]])
    expected = torch.tensor([(1 + 40) / 2, 3 / 2])
    torch.testing.assert_close(ADMLoss()(pred, target, weight), expected)


def test_half_precision_outputs_are_compared_in_float32():
    pred = torch.full((1, 1, 64, 64), 300.0, dtype=torch.float16)
    loss = ADMLoss()(pred, torch.zeros(1, 1, 64, 64), torch.ones(1))
    assert loss.dtype == torch.float32 and loss.item() == 300.0**2


@pytest.mark.parametrize(
    'wrong',
    [dict(distance='l3'), dict(reduction='max'), dict(reconstruction='cubic')],
)
def test_unknown_choices_are_refused_with_the_known_ones(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=f"Unknown {name}='{value}'. Use one of"):
        AuthorsLoss(**wrong)
