"""The loss weights are the rows of Table V, and finite at every time."""

import math

import pytest
import torch
from torch import Tensor

from mmadm.diffusion import (
    NoiseOnlyWeighting,
    OptimalWeighting,
    Preconditioner,
    TimeWeighting,
)
from mmadm.diffusion.weighting import RULES
from mmadm.registry import MODELS, build
from tests.oracles import ATTENUATION_CONFIGS, NOISE_CONFIGS, make_process

#: Times at which no weight of any rule reaches the cap.
TIMES = [0.01, 0.2, 0.5, 0.77, 0.95]
OFFSET = 1e-3
#: lambda_1, lambda_2 in plain numbers: Table V, then `reference.md` section 1.2.
EXPECTED = {
    'one': (lambda t: 1.0, lambda t: 1.0),
    'inverse': (lambda t: 1 / t, lambda t: 1 / (1 - t)),
    'exponential': (math.exp, lambda t: math.exp(1 - t)),
    'paper': (
        lambda t: (t * t - t + 1) / t,
        lambda t: (t * t - t + 1) / (1 - t) ** 2,
    ),
    'authors': (
        lambda t: (t * t - t + 1) / t,
        lambda t: (t * t - t + 1) / (1 - t + OFFSET),
    ),
    'authors_linear_noise': (
        lambda t: ((t - 1) / t) ** 2 + 1,
        lambda t: (t / (1 - t + OFFSET)) ** 2 + 1,
    ),
    'authors_2023': (lambda t: 1 / t, lambda t: 1 / (1 - t + OFFSET)),
    'flow_matching': (
        lambda t: 1 / (t * t + (1 - t) * (1 - t)),
        lambda t: 1 / (t * t + (1 - t) * (1 - t)),
    ),
    'diffusion_edge': (
        lambda t: (t + 1) / math.sqrt(t),
        lambda t: math.sqrt(2 - t) / math.sqrt(1 - t + OFFSET),
    ),
}


def weights(weighting, t: Tensor, sigma_data: float = 1.0, **process) -> tuple:
    coefficients = Preconditioner(sigma_data).coefficients(make_process(**process), t)
    return weighting(t, coefficients)


@pytest.mark.parametrize('rule', EXPECTED)
def test_rule_is_its_row_of_the_table(rule: str) -> None:
    t = torch.tensor(TIMES).double()
    image, noise = weights(TimeWeighting(rule, t_min=OFFSET, cap=1e6), t)
    assert image[:, 0].tolist() == pytest.approx([EXPECTED[rule][0](u) for u in TIMES])
    assert noise.tolist() == pytest.approx([EXPECTED[rule][1](u) for u in TIMES])


def test_every_rule_is_tested() -> None:
    assert set(EXPECTED) == set(RULES)


def test_best_row_of_the_table_is_the_default() -> None:
    t = torch.tensor(TIMES)
    default, paper = TimeWeighting(), TimeWeighting('paper', t_min=1e-4, cap=1e4)
    for one, other in zip(weights(default, t), weights(paper, t), strict=True):
        assert torch.equal(one, other)


def test_default_offset_is_the_authors_smallest_time() -> None:
    _, noise = weights(TimeWeighting('authors_2023', cap=1e6), torch.ones(1))
    assert noise.item() == pytest.approx(1e4)


def test_weights_have_one_value_per_parameter_and_image() -> None:
    t = torch.rand(5, generator=torch.Generator().manual_seed(0)) * 0.9 + 0.05
    for weighting in (TimeWeighting(), OptimalWeighting(), NoiseOnlyWeighting()):
        image, noise = weights(weighting, t, attenuation='quadratic')
        assert image.shape in {(5, 1), (5, 3)}
        assert noise.shape == (5,)
        assert image.dtype == noise.dtype == torch.float64


@pytest.mark.parametrize('t_min', [1e-3, 1e-4])
@pytest.mark.parametrize('rule', [*EXPECTED, 'optimal'])
def test_weights_are_finite_and_positive_up_to_pure_noise(
    rule: str, t_min: float
) -> None:
    t = torch.cat([torch.linspace(t_min, 1, 1000), torch.tensor([1 - 1e-7, 1.0])])
    weighting = OptimalWeighting() if rule == 'optimal' else TimeWeighting(rule)
    for weight in weights(weighting, t):
        assert weight.isfinite().all()
        assert (weight > 0).all()
        assert weight.max() <= 1e4


@pytest.mark.parametrize('attenuation', ATTENUATION_CONFIGS)
@pytest.mark.parametrize('noise', NOISE_CONFIGS)
def test_optimal_weights_are_finite_for_every_process(
    attenuation: str, noise: str
) -> None:
    t = torch.cat([torch.linspace(1e-4, 1, 100), torch.tensor([1 - 1e-7])])
    process = dict(attenuation=attenuation, noise=noise)
    for weight in weights(OptimalWeighting(cap=50.0), t, 0.5, **process):
        assert weight.isfinite().all()
        assert (weight > 0).all()
        assert weight.max() <= 50


def test_cap_leaves_smaller_weights_as_they_are() -> None:
    t = torch.tensor([0.5, 0.999]).double()
    _, noise = weights(TimeWeighting('paper', cap=100.0), t)
    assert noise.tolist() == pytest.approx([EXPECTED['paper'][1](0.5), 100.0])
    assert weights(TimeWeighting('paper', cap=0.5), t)[1].tolist() == [0.5, 0.5]


def test_optimal_weights_of_unit_data_are_the_papers_best_pair() -> None:
    t = torch.linspace(1e-3, 0.999, 50).double()
    optimal, paper = OptimalWeighting(cap=1e9), TimeWeighting('paper', cap=1e9)
    for one, other in zip(weights(optimal, t), weights(paper, t), strict=True):
        torch.testing.assert_close(one, other)


def test_optimal_weights_of_linear_noise_are_the_authors_pair() -> None:
    t = torch.linspace(0.01, 0.99, 50).double()
    authors = TimeWeighting('authors_linear_noise', t_min=0.0, cap=1e9)
    pairs = zip(
        weights(OptimalWeighting(cap=1e9), t, noise='linear'),
        weights(authors, t, noise='linear'),
        strict=True,
    )
    for one, other in pairs:
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize('attenuation', ['constant', 'linear', 'quadratic'])
def test_optimal_weights_are_the_inverse_squares_of_c_out(
    attenuation: str,
) -> None:
    t = torch.linspace(0.05, 0.95, 7).double()
    process = make_process(attenuation)
    c = Preconditioner(0.5).coefficients(process, t)
    image, noise = OptimalWeighting()(t, c)
    torch.testing.assert_close(image * c.phi_out**2, torch.ones_like(image))
    torch.testing.assert_close(noise * c.eps_out**2, torch.ones_like(noise))


def test_noise_only_is_the_loss_of_ddpm() -> None:
    image, noise = weights(NoiseOnlyWeighting(), torch.tensor([1e-3, 0.5, 1.0]))
    assert image.tolist() == [[0.0]] * 3
    assert noise.tolist() == [1.0] * 3


def test_unknown_rule_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"rule='papre'.*'paper'"):
        TimeWeighting('papre')


@pytest.mark.parametrize('cap', [0, -5.0, math.nan])
@pytest.mark.parametrize('kind', [TimeWeighting, OptimalWeighting])
def test_cap_that_is_not_positive_is_an_error(kind: type, cap: float) -> None:
    with pytest.raises(ValueError, match=f'cap={cap}'):
        kind(cap=cap)


@pytest.mark.parametrize('kind', [TimeWeighting, OptimalWeighting, NoiseOnlyWeighting])
def test_weightings_are_built_by_their_registered_names(kind: type) -> None:
    assert type(build(MODELS, dict(type=kind.__name__))) is kind
