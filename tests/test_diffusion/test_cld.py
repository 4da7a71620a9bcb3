"""CLD: the moments of its linear SDE, its score, and samples of Gaussian images."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import expm
from torch import Tensor

from mmadm.diffusion import (
    ADMProcess,
    ADMSampler,
    CLDProcess,
    EulerMaruyamaSampler,
    HeunSampler,
    LogNormalTimes,
    MultistepSampler,
    Preconditioner,
    RhoGrid,
    SSCSSampler,
    VelocityNoiseWeighting,
    log_likelihood,
)
from tests.oracles import NoiseStream, make_images, make_noise

CLD = CLDProcess()
MEAN, STD = 0.3, 0.5
# Of the paper: dx = beta / M v dt, dv = -(beta x + Gamma beta / M v) dt
# + sqrt(2 Gamma beta) dW, and v = sqrt(M) w.
M, GAMMA, BETA, VELOCITY = 0.25, 1.0, 4.0, 0.04
TO_PAPER = np.diag([1, math.sqrt(M)])
TO_OURS = np.linalg.inv(TO_PAPER)


def moments(mean: float, variance: float, t: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of image and w, by Van Loan's matrix exponential."""
    drift = np.array([[0, BETA / M], [-BETA, -GAMMA * BETA / M]])
    noise = np.diag([0, 2 * GAMMA * BETA])
    block = expm(t * np.block([[-drift, noise], [np.zeros((2, 2)), drift.T]]))
    flow = block[2:, 2:].T
    cov = flow @ np.diag([variance, VELOCITY * M]) @ flow.T + flow @ block[:2, 2:]
    return TO_OURS @ flow @ [mean, 0], TO_OURS @ cov @ TO_OURS


def denoise(x_t: Tensor, t: float) -> tuple[Tensor, Tensor]:
    """The best possible outputs for Gaussian images, from the exact score."""
    if t not in CACHE:
        mean, cov = moments(MEAN, STD**2, t)
        last = np.linalg.cholesky(moments(0, 0, t)[1])[1, 1]
        CACHE[t] = mean, np.linalg.inv(cov), last
    mean, precision, last = CACHE[t]
    position, velocity = x_t.chunk(2, 1)
    score = -precision[1, 0] * (position - mean[0])
    score = score - precision[1, 1] * (velocity - mean[1])
    return CLD.solve(x_t, -last * score, t)


CACHE: dict = {}


@pytest.mark.parametrize('t', [1e-3, 0.05, 0.3, 1.0])
def test_marginals_are_those_of_the_linear_sde(t: float) -> None:
    one = torch.ones(1, 2, 1, 1, dtype=torch.float64)
    first, second = one.clone(), one.clone()
    first[:, 1], second[:, 0] = 0, 0
    mean, cov = moments(1.0, 0.0, t)
    ours = CLD.diffuse(one, -one, 0 * one, t).flatten()
    assert ours.tolist() == pytest.approx(mean, rel=1e-6, abs=1e-9)
    columns = [CLD.diffuse(0 * one, one, e, t).flatten() for e in (first, second)]
    factor = torch.stack(columns, 1)
    assert (factor @ factor.T).numpy() == pytest.approx(
        cov,
        rel=1e-5,
        abs=1e-6 * t**4,  # rounding of the exponential
    )
    assert columns[1][0] == 0


def test_single_precision_is_enough_at_the_smallest_time() -> None:
    x0, eps = make_images(2, 6, 4, 4), make_noise(2, 6, 4, 4)
    double = CLD.diffuse(x0, -x0, eps, torch.tensor([1e-3, 1e-3]).double())
    single = CLD.diffuse(
        x0.float(), -x0.float(), eps.float(), torch.tensor([1e-3, 1e-3])
    )
    torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('t', [1e-3, 0.2, 0.9])
def test_image_and_noise_follow_from_the_noise_of_the_velocity(t: float) -> None:
    x0, eps = make_images(2, 6, 4, 4), make_noise(2, 6, 4, 4)
    x0[:, 3:] = 0
    x_t = CLD.diffuse(x0, -x0, eps, t)
    phi, noise = CLD.solve(x_t, eps[:, 3:], t)
    torch.testing.assert_close(noise, eps, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(CLD.denoised(x_t, phi, noise, t), x0)


def test_hybrid_score_matching_learns_the_score_of_the_velocity() -> None:
    """Least squares of eps_w on the state gives the outputs of the exact score."""
    t, n = 0.15, 400_000
    generator = torch.Generator().manual_seed(0)
    draws = torch.randn(n, 3, 1, 1, generator=generator).double()
    x0 = torch.cat([MEAN + STD * draws[:, :1], 0 * draws[:, :1]], 1)
    x_t = CLD.diffuse(x0, -x0, draws[:, 1:], t)
    design = torch.cat([x_t.flatten(1), torch.ones(n, 1)], 1)
    fit = torch.linalg.lstsq(design, draws[:, 2].view(-1, 1)).solution
    _, exact = denoise(x_t[:100], t)
    torch.testing.assert_close(
        (design[:100] @ fit).flatten(), exact[:, 1].flatten(), rtol=0, atol=0.02
    )


def test_only_the_noise_of_the_velocity_is_in_the_loss() -> None:
    c = Preconditioner(scaling='cld').coefficients(CLD, torch.tensor([0.3, 0.6]))
    image, noise = VelocityNoiseWeighting()(torch.tensor([0.3, 0.6]), c)
    assert not image.any()
    assert noise.tolist() == [[0, 1], [0, 1]]


def test_network_predicts_what_a_linear_estimate_leaves() -> None:
    """With unit data and a network of zeros: the regression of eps_w on w."""
    t = torch.tensor([0.2]).double()
    x_t = make_noise(1, 6, 4, 4)
    preconditioner = Preconditioner(1.0, scaling='cld', predicts='velocity_noise')
    _, eps = preconditioner(lambda x, _: (0 * x[:, :3],), CLD, x_t, t)
    last = np.linalg.cholesky(moments(0, 0, 0.2)[1])[1, 1]
    expected = last / moments(0, 1, 0.2)[1][1, 1] * x_t[:, 3:]
    torch.testing.assert_close(eps[:, 3:], expected, rtol=1e-6, atol=1e-8)


def test_step_with_the_score_of_equilibrium_is_exact() -> None:
    """Two halves are the whole, in distribution, and equilibrium is kept."""
    one = torch.eye(2, dtype=torch.float64).view(2, 2, 1, 1)
    zero = 0 * one

    def flow(s: float) -> Tensor:
        return CLD.relax(one, s, zero).flatten(1).T

    def factor(s: float) -> Tensor:
        return CLD.relax(zero, s, one).flatten(1).T

    torch.testing.assert_close(flow(0.05) @ flow(0.05), flow(0.1))
    whole = flow(0.1) @ flow(0.1).T + factor(0.1) @ factor(0.1).T
    torch.testing.assert_close(whole, torch.eye(2, dtype=torch.float64))
    # In the limit of small steps: the reverse SDE with score -w.
    s = 1e-4
    state = make_noise(1, 2, 1, 1)
    drift, diffusion = CLD.reverse_sde(
        state, state, state * CLD.noise.factor(torch.tensor(0.5).double())[2], 0.5
    )
    slope = (CLD.relax(state, s, 0 * state) - state) / s
    torch.testing.assert_close(slope, -drift, rtol=0.01, atol=0.05)
    assert factor(s)[1].norm().item() == pytest.approx(
        float(diffusion[0, 1]) * s**0.5, rel=0.01
    )


@pytest.mark.parametrize(
    ('sampler', 'tolerance'),
    [(SSCSSampler(120), 0.03), (EulerMaruyamaSampler(400), 0.05)],
    ids=['SSCS', 'Euler-Maruyama'],
)
def test_gaussian_images_are_sampled_with_their_mean_and_deviation(
    sampler, tolerance: float
) -> None:
    images = sampler(denoise, CLD, NoiseStream(2000, 6, 2, 2))[:, :3]
    assert images.mean().item() == pytest.approx(MEAN, abs=0.02)
    assert images.std().item() == pytest.approx(STD, rel=tolerance)


def sampling_error(sampler: SSCSSampler | EulerMaruyamaSampler) -> tuple[float, float]:
    """Exact errors of mean and variance of the sampled Gaussian images.

    With the score of a normal distribution a sample is a linear function of the noises
    that are drawn: the batch has one sample for each noise that is 1 alone.
    """
    draws = 1 + 2 * sampler.num_steps
    noises = torch.eye(2 * draws, dtype=torch.float64)
    noises = torch.cat([0 * noises[:1], noises]).view(-1, draws, 2, 1, 1)
    stream = iter(noises.unbind(1))
    offset, *parts = sampler(denoise, CLD, lambda: next(stream))[:, 0].flatten()
    variance = (torch.stack(parts) - offset).square().sum()
    return abs(float(offset) - MEAN), abs(float(variance) - STD**2)


@pytest.mark.parametrize('sampler', [SSCSSampler, EulerMaruyamaSampler])
def test_twice_the_steps_halve_the_error(sampler: type) -> None:
    """Order 1: also the symmetric splitting has an Euler step in its middle."""
    errors = np.array([sampling_error(sampler(n)) for n in (160, 320)])
    np.testing.assert_allclose(errors[0] / errors[1], 2, rtol=0.07)


def test_symmetric_splitting_has_less_error_in_few_steps() -> None:
    few = [
        sampling_error(sampler(20)) for sampler in (SSCSSampler, EulerMaruyamaSampler)
    ]
    assert few[0][1] < 0.3 * few[1][1]


@pytest.mark.parametrize('num_steps', [1, 2, 7])
def test_n_steps_are_n_evaluations(num_steps: int) -> None:
    seen = []
    SSCSSampler(num_steps)(
        denoise, CLD, NoiseStream(1, 2, 2, 2), callback=lambda i, t, *_: seen.append(t)
    )
    assert len(seen) == num_steps
    assert seen == sorted(seen, reverse=True)
    assert seen[-1] == pytest.approx(1 if num_steps == 1 else CLD.t_min)


@pytest.mark.parametrize('sampler', [ADMSampler(), HeunSampler(), MultistepSampler()])
def test_samplers_of_a_scalar_noise_level_are_refused(sampler) -> None:
    with pytest.raises(ValueError, match='SSCSSampler'):
        sampler(denoise, CLD, NoiseStream(1, 2, 2, 2))


def test_what_needs_a_scalar_noise_level_is_refused() -> None:
    with pytest.raises(ValueError, match='UniformGrid'):
        RhoGrid()(5, CLD)
    with pytest.raises(ValueError, match='UniformGrid'):
        LogNormalTimes()(torch.tensor([0.5]), CLD)
    with pytest.raises(ValueError, match='UniformGrid'):
        log_likelihood(denoise, CLD, make_noise(1, 2, 1, 1))


@pytest.mark.parametrize(
    'setting',
    [
        dict(scaling='unit_variance', predicts='velocity_noise'),
        dict(scaling='cld', predicts='phi'),
        dict(scaling='cld', predicts='eps'),
        dict(scaling='cld', predicts='velocity'),
    ],
)
def test_scalings_and_predictions_of_other_processes_are_refused(setting) -> None:
    width = 1 if setting['predicts'] == 'velocity_noise' else 2
    with pytest.raises(ValueError, match="predicts='velocity_noise'"):
        Preconditioner(**setting)(
            lambda x, _: (x[:, :width],), CLD, make_noise(1, 2, 2, 2), torch.ones(1)
        )


@pytest.mark.parametrize(
    'setting', [dict(scaling='cld'), dict(predicts='velocity_noise')]
)
def test_its_parts_are_refused_for_other_processes(setting: dict) -> None:
    with pytest.raises(ValueError, match='ADMProcess'):
        Preconditioner(**setting)(
            lambda x, _: (x[:, :1],),
            ADMProcess(),
            make_noise(1, 2, 2, 2),
            torch.ones(1),
        )
