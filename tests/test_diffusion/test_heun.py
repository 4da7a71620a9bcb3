"""Heun's method: EDM's Algorithm 2 by line, its order, its NFE, its churn."""

import math

import pytest
import torch
from torch import Tensor

from mmadm.diffusion import (
    ADMProcess,
    ExponentialNoise,
    HeunSampler,
    LinearNoise,
    NoAttenuation,
    RhoGrid,
    UniformGrid,
    VPProcess,
)
from tests.oracles import (
    GaussianDenoiser,
    NoiseStream,
    PerfectDenoiser,
    make_images,
    make_noise,
    make_process,
)

EDM = ADMProcess(
    dict(type=NoAttenuation), dict(type=LinearNoise, std_1=80.0), t_min=0.002 / 80
)
VE = ADMProcess(dict(type=NoAttenuation), dict(type=ExponentialNoise), t_min=1e-5)


def image_of(x: Tensor, sigma: float) -> Tensor:
    """A denoiser D(x; sigma) of EDM."""
    return torch.sin(x) / (1 + sigma) + 0.1


def edm_outputs(x_t: Tensor, t: float) -> tuple[Tensor, Tensor]:
    x0 = image_of(x_t, 80 * t)
    return -x0, (x_t - x0) / (80 * t)


def algorithm_2(noise: NoiseStream, steps: int, churn=0.0, low=0.0, high=math.inf):
    """Algorithm 2 of Karras et al. with S_noise = 1.003, in their letters."""
    roots = [
        80 ** (1 / 7) + i / (steps - 1) * (0.002 ** (1 / 7) - 80 ** (1 / 7))
        for i in range(steps)
    ]
    sigmas = [root**7 for root in roots] + [0.0]
    x = 80 * noise()
    for i in range(steps):
        t, t_next = sigmas[i], sigmas[i + 1]
        gamma = min(churn / steps, math.sqrt(2) - 1) if low <= t <= high else 0.0
        t_hat = t + gamma * t
        if gamma > 0 and i > 0:
            x = x + math.sqrt(t_hat**2 - t**2) * 1.003 * noise()
        else:
            t_hat = t
        d = (x - image_of(x, t_hat)) / t_hat
        x_next = x + (t_next - t_hat) * d
        if t_next > 0:
            d_next = (x_next - image_of(x_next, t_next)) / t_next
            x_next = x + (t_next - t_hat) * (d + d_next) / 2
        x = x_next
    return x


def test_deterministic_sampler_is_algorithm_1_of_edm() -> None:
    image = HeunSampler(grid=dict(type=RhoGrid))(edm_outputs, EDM, NoiseStream(), 17)
    torch.testing.assert_close(image, algorithm_2(NoiseStream(), 9))


def test_stochastic_sampler_is_algorithm_2_of_edm() -> None:
    settings = dict(churn=3.0, churn_levels=(0.05, 50.0), churn_noise=1.003)
    sampler = HeunSampler(grid=dict(type=RhoGrid), **settings)
    image = sampler(edm_outputs, EDM, NoiseStream(), 17)
    expected = algorithm_2(NoiseStream(), 9, churn=3.0, low=0.05, high=50.0)
    torch.testing.assert_close(image, expected)


@pytest.mark.parametrize('alpha', [1.0, 2 / 3, 0.5])
@pytest.mark.parametrize('nfe', [1, 2, 3, 4, 5, 10, 35])
def test_every_evaluation_counts(nfe: int, alpha: float) -> None:
    process, x0 = make_process(), make_images()
    denoise = PerfectDenoiser(process, x0)
    seen = []
    image = HeunSampler(nfe, alpha=alpha)(
        denoise,
        process,
        NoiseStream(),
        callback=lambda i, t, x_t, image: seen.append((i, t, image)),
    )
    torch.testing.assert_close(image, x0)
    assert len(denoise.times) == nfe
    assert [(i, t) for i, t, _ in seen] == [*enumerate(denoise.times)]
    assert min(denoise.times) >= process.t_min * (1 - 1e-9)
    for _, _, estimate in seen:
        torch.testing.assert_close(estimate, x0)


@pytest.mark.parametrize(
    ('process', 'signal', 'level'),
    [
        (make_process(t_min=1e-7), lambda t: 1 - t, math.sqrt),
        (make_process(noise='linear', t_min=1e-5), lambda t: 1 - t, lambda t: t),
        (EDM, lambda t: 1.0, lambda t: 80 * t),
        (VE, lambda t: 1.0, lambda t: 0.01 * math.sqrt(5000 ** (2 * t) - 1)),
    ],
    ids=['ADM', 'flow', 'EDM', 'VE'],
)
@pytest.mark.parametrize('alpha', [1.0, 0.5])
def test_error_falls_with_the_square_of_the_steps(
    process: ADMProcess, signal, level, alpha: float
) -> None:
    """For Gaussian images the solution of the ODE has a closed form.

    The smallest times are so small that the one-evaluation step from them to 0 does not
    matter.
    """
    mean, std = 0.3, 0.5
    denoise = GaussianDenoiser(mean, std, signal, level)
    start = NoiseStream()() * process.initial_std
    spread_1 = math.sqrt((signal(1) * std) ** 2 + level(1) ** 2)
    exact = mean + std / spread_1 * (start - signal(1) * mean)

    def error(nfe: int) -> float:
        sampler = HeunSampler(nfe, grid=dict(type=RhoGrid, rho=5), alpha=alpha)
        return float((sampler(denoise, process, NoiseStream()) - exact).abs().max())

    assert error(79) / error(159) > 3.5
    assert error(159) < 0.005


def test_even_number_of_evaluations_costs_little() -> None:
    denoise = GaussianDenoiser(0.3, 0.5, lambda t: 1.0, lambda t: 80 * t)
    exact = 0.3 + 0.5 / math.sqrt(0.25 + 6400) * (80 * NoiseStream()() - 0.3)

    def error(nfe: int) -> float:
        sampler = HeunSampler(nfe, grid=dict(type=RhoGrid))
        return float((sampler(denoise, EDM, NoiseStream()) - exact).abs().max())

    assert error(40) < 1.1 * error(39)


@pytest.mark.parametrize('process', [make_process(), EDM, VE, VPProcess()])
@pytest.mark.parametrize(('t', 'later'), [(0.2, 0.21), (0.3, 0.9)])
def test_added_noise_leads_to_the_marginal_of_the_later_time(
    process: ADMProcess, t: float, later: float
) -> None:
    """Mean and covariance are linear in noise and image: both are read off."""
    one = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    zero, phi = 0 * one, process.attenuation.solve(one)
    mean = process.renoise(process.diffuse(one, phi, zero, t), phi, zero, t, later)
    torch.testing.assert_close(mean, process.diffuse(one, phi, zero, later))
    old = process.renoise(process.diffuse(zero, zero, one, t), zero, zero, t, later)
    new = process.renoise(zero, zero, one, t, later)
    expected = process.diffuse(zero, zero, one, later) ** 2
    torch.testing.assert_close(old**2 + new**2, expected)


@pytest.mark.parametrize('alpha', [0.0, 1.01, math.nan])
def test_alpha_outside_the_step_is_an_error(alpha: float) -> None:
    with pytest.raises(ValueError, match=f'alpha={alpha}'):
        HeunSampler(alpha=alpha)


def test_negative_churn_is_an_error() -> None:
    with pytest.raises(ValueError, match='churn=-1'):
        HeunSampler(churn=-1)


@pytest.mark.parametrize('nfe', [0, 2.5, None, True])
def test_nfe_that_is_not_a_positive_integer_is_an_error(nfe) -> None:
    with pytest.raises(ValueError, match=f'num_steps={nfe!r}'):
        HeunSampler(nfe)(edm_outputs, EDM, NoiseStream())


def test_churned_state_does_not_leave_the_trained_times() -> None:
    """Large churn from a uniform grid would lead beyond t = 1."""
    times = []

    def denoise(x_t: Tensor, t: float) -> tuple[Tensor, Tensor]:
        times.append(t)
        return edm_outputs(x_t, t)

    HeunSampler(9, grid=dict(type=UniformGrid), churn=1e3)(denoise, EDM, NoiseStream())
    assert max(times) <= 1
    assert make_noise().isfinite().all()
