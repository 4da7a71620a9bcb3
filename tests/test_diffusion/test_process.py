"""The process is Eq. (6) to (11): marginals by simulation, steps by Bayes' rule."""

import math
from itertools import pairwise, product

import pytest
import torch
from torch import Tensor

from mmadm.diffusion import ADMProcess, LinearAttenuation, LinearNoise, NoisePath
from mmadm.registry import MODELS, build
from tests.oracles import (
    ATTENUATION_CONFIGS,
    NOISE_CONFIGS,
    NOISE_VARIANCE,
    PerfectDenoiser,
    draw_phi,
    make_images,
    make_noise,
    make_process,
)

every_function = pytest.mark.parametrize('attenuation', ATTENUATION_CONFIGS)
every_noise = pytest.mark.parametrize('noise', NOISE_CONFIGS)
every_process = pytest.mark.parametrize(
    ('attenuation', 'noise'), [*product(ATTENUATION_CONFIGS, NOISE_CONFIGS)]
)
#: Times before and after a step, the last one ends at the image.
STEPS = [(1.0, 0.9), (1.0, 0.2), (0.7, 0.65), (0.3, 1e-3), (0.05, 0.0), (1.0, 0.0)]
every_step = pytest.mark.parametrize(('t', 'r'), STEPS)


def make_phi(process: ADMProcess, x0: Tensor) -> Tensor:
    return draw_phi(process, x0, seed=3)


def affine_step(
    process: ADMProcess, phi: Tensor, t: float, r: float, eta: float
) -> tuple[Tensor, Tensor, Tensor]:
    """What a step adds to x_t: without noise, per unit of eps, and per unit of xi."""
    zero, one = torch.zeros(2, 3, 4, 4).double(), torch.ones(2, 3, 4, 4).double()
    base = process.step(zero, phi, zero, t, t - r, eta, zero)
    from_eps = process.step(zero, phi, one, t, t - r, eta, zero) - base
    from_xi = process.step(zero, phi, zero, t, t - r, eta, one) - base
    return base, from_eps, from_xi


def bayes(
    prior: tuple[Tensor, float], likelihood: tuple[Tensor, float]
) -> tuple[Tensor, float]:
    """Mean and variance of the normalised product of two Gaussians (Eq. 8)."""
    (mean_1, var_1), (mean_2, var_2) = prior, likelihood
    total = var_1 + var_2
    return (mean_1 * var_2 + mean_2 * var_1) / total, var_1 * var_2 / total


# The forward process.


def simulate(process: ADMProcess, noise: str, x0: Tensor, phi: Tensor) -> dict:
    """Eq. (6), dx = h_t dt + sqrt(db^2/dt) dw, from ``rate`` and plain numbers only."""
    generator = torch.Generator().manual_seed(11)
    steps, states, x = 200, {}, x0.clone()
    for i in range(steps):
        added = NOISE_VARIANCE[noise]((i + 1) / steps) - NOISE_VARIANCE[noise](
            i / steps
        )
        dw = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        drift = process.attenuation.rate(phi, (i + 0.5) / steps) / steps
        x = x + drift + math.sqrt(added) * dw
        states[(i + 1) / steps] = x
    return states


@every_process
def test_marginals_are_those_of_the_simulated_equation(
    attenuation: str, noise: str
) -> None:
    process = make_process(attenuation, noise)
    x0, count = torch.full((1, 1, 1, 1), 0.7, dtype=torch.float64), 20_000
    phi = make_phi(process, x0)
    zero, one = torch.zeros_like(x0), torch.ones_like(x0)
    states = simulate(process, noise, x0.expand(count, 1, 1, 1), phi)

    for t in (0.25, 0.5, 1.0):
        mean = process.diffuse(x0, phi, zero, t)
        std = process.diffuse(x0, phi, one, t) - mean
        error = states[t].mean() - mean.squeeze()
        assert error.abs() < 4 * t**0.5 / count**0.5
        assert states[t].std().item() == pytest.approx(std.item(), rel=4 * count**-0.5)


@every_process
def test_diffusion_ends_in_pure_noise(attenuation: str, noise: str) -> None:
    process = make_process(attenuation, noise)
    x0, eps = make_images(), make_noise()
    x_1 = process.diffuse(x0, make_phi(process, x0), eps, 1.0)
    torch.testing.assert_close(x_1, eps)


@every_process
@pytest.mark.parametrize('t', [1e-4, 0.3, 1.0])
def test_denoising_with_the_exact_parts_inverts_diffusion(
    attenuation: str, noise: str, t: float
) -> None:
    process = make_process(attenuation, noise)
    x0, eps = make_images(), make_noise()
    phi = make_phi(process, x0)
    x_t = process.diffuse(x0, phi, eps, t)
    torch.testing.assert_close(process.denoised(x_t, phi, eps, t), x0)


@every_function
def test_image_of_the_exact_phi_is_the_image(attenuation: str) -> None:
    process = make_process(attenuation)
    x0 = make_images()
    torch.testing.assert_close(process.image(make_phi(process, x0)), x0)


def test_training_times_are_powers_of_uniform_numbers() -> None:
    u = torch.linspace(0, 1, 5)
    paper, small = ADMProcess(t_min=0.2), ADMProcess(t_min=0.2, time_power=2.0)
    assert paper.training_time(u).tolist() == pytest.approx([0.2, 0.4, 0.6, 0.8, 1])
    assert small.training_time(u).tolist() == pytest.approx([0.2, 0.25, 0.4, 0.65, 1.0])
    assert ADMProcess(time_power=0.0).training_time(u).tolist() == [1.0] * 5


@pytest.mark.parametrize('power', [-1.0, math.nan])
def test_a_negative_time_power_is_an_error(power: float) -> None:
    with pytest.raises(ValueError, match=f'time_power={power}'):
        ADMProcess(time_power=power)


# The noise path.


@every_noise
def test_noise_grows_from_zero_to_one(noise: str) -> None:
    path: NoisePath = build(MODELS, NOISE_CONFIGS[noise])
    t = torch.linspace(0, 1, 33, dtype=torch.float64)
    assert path.std(t)[0] == 0
    assert path.std(t)[-1] == 1
    variances = torch.tensor([NOISE_VARIANCE[noise](u) for u in t.tolist()]).double()
    torch.testing.assert_close(path.std(t) ** 2, variances)


@every_noise
def test_time_inverts_the_noise_level(noise: str) -> None:
    path: NoisePath = build(MODELS, NOISE_CONFIGS[noise])
    t = torch.linspace(0, 1, 33, dtype=torch.float64)
    torch.testing.assert_close(path.time(path.std(t)), t)


@every_noise
def test_variance_rate_is_the_derivative_of_the_variance(noise: str) -> None:
    path: NoisePath = build(MODELS, NOISE_CONFIGS[noise])
    t = torch.linspace(0.05, 1, 20, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(path.std(t).square().sum(), t)
    torch.testing.assert_close(path.variance_rate(t.detach()), slope)


# The reverse step.


@every_process
@every_step
def test_step_is_the_posterior_of_bayes_rule(
    attenuation: str, noise: str, t: float, r: float
) -> None:
    process = make_process(attenuation, noise)
    x0, eps, xi = make_images(), make_noise(), make_noise(seed=2)
    phi = make_phi(process, x0)
    h_t, h_r = (process.attenuation.integral(phi, u) for u in (t, r))
    var_t, var_r = NOISE_VARIANCE[noise](t), NOISE_VARIANCE[noise](r)
    x_t = x0 + h_t + math.sqrt(var_t) * eps

    # q(x_r | x0) and q(x_t | x_r, x0), the latter as a function of x_r.
    mean, var = bayes((x0 + h_r, var_r), (x_t - (h_t - h_r), var_t - var_r))
    expected = mean + math.sqrt(var) * xi
    torch.testing.assert_close(process.step(x_t, phi, eps, t, t - r, 1.0, xi), expected)


@every_function
@every_step
def test_step_is_equation_11(attenuation: str, t: float, r: float) -> None:
    process = make_process(attenuation)
    s = t - r
    phi = make_phi(process, make_images())
    base, from_eps, from_xi = affine_step(process, phi, t, r, eta=1.0)
    h_t, h_r = (process.attenuation.integral(phi, u) for u in (t, r))

    torch.testing.assert_close(base, h_r - h_t)
    torch.testing.assert_close(from_eps, torch.full_like(from_eps, -s / math.sqrt(t)))
    sigma = math.sqrt(s * (t - s) / t)
    torch.testing.assert_close(from_xi, torch.full_like(from_xi, sigma))


@every_step
def test_step_with_linear_noise_is_the_authors_posterior(t: float, r: float) -> None:
    process, s = make_process(noise='linear'), t - r
    phi = make_phi(process, make_images())
    _, from_eps, from_xi = affine_step(process, phi, t, r, eta=1.0)
    gap = 2 * s * t - s**2
    torch.testing.assert_close(from_eps, torch.full_like(from_eps, -gap / t))
    variance = gap * (t - s) ** 2 / t**2
    torch.testing.assert_close(from_xi**2, torch.full_like(from_xi, variance))


@every_process
@every_step
def test_deterministic_step_follows_the_path_of_its_noise(
    attenuation: str, noise: str, t: float, r: float
) -> None:
    process = make_process(attenuation, noise)
    x0, eps = make_images(), make_noise()
    phi = make_phi(process, x0)
    x_t = process.diffuse(x0, phi, eps, t)
    x_r = process.step(x_t, phi, eps, t, t - r, eta=0.0)
    torch.testing.assert_close(x_r, process.diffuse(x0, phi, eps, r))


@every_noise
@every_step
@pytest.mark.parametrize('eta', [0.0, 0.3, 0.7, 1.0])
def test_every_eta_keeps_the_variance_of_the_marginal(
    noise: str, t: float, r: float, eta: float
) -> None:
    process = make_process(noise=noise)
    phi = make_phi(process, make_images())
    _, from_eps, from_xi = affine_step(process, phi, t, r, eta)
    left = math.sqrt(NOISE_VARIANCE[noise](t)) + from_eps
    variance = torch.full_like(left, NOISE_VARIANCE[noise](r))
    torch.testing.assert_close(left**2 + from_xi**2, variance)


@every_noise
@pytest.mark.parametrize('eta', [0.3, 0.7])
def test_eta_is_the_fraction_of_the_fresh_noise(noise: str, eta: float) -> None:
    process = make_process(noise=noise)
    phi = make_phi(process, make_images())
    _, _, reduced = affine_step(process, phi, 0.8, 0.3, eta)
    _, _, full = affine_step(process, phi, 0.8, 0.3, 1.0)
    torch.testing.assert_close(reduced, eta * full)


@every_process
@pytest.mark.parametrize('eta', [0.0, 0.5, 1.0])
@pytest.mark.parametrize('num_steps', [1, 2, 5, 10, 37])
def test_any_step_count_recovers_the_image_with_a_perfect_denoiser(
    attenuation: str, noise: str, eta: float, num_steps: int
) -> None:
    process = make_process(attenuation, noise)
    x0, x_t = make_images(), make_noise()
    denoise = PerfectDenoiser(process, x0, make_phi(process, x0))
    times = [1 - i / num_steps for i in range(num_steps)] + [0.0]

    for i, (t, r) in enumerate(pairwise(times)):
        xi = make_noise(seed=100 + i)
        x_t = process.step(x_t, *denoise(x_t, t), t, t - r, eta, xi)
    torch.testing.assert_close(x_t, x0)


def test_step_without_fresh_noise_is_the_mean_of_the_posterior() -> None:
    process = make_process()
    phi, x_t, eps = make_images(), make_noise(), make_noise(seed=2)
    mean = process.step(x_t, phi, eps, 0.8, 0.3, 1.0, torch.zeros_like(x_t))
    assert torch.equal(process.step(x_t, phi, eps, 0.8, 0.3, 1.0), mean)


# The reverse equation.


@every_process
@pytest.mark.parametrize('t', [0.2, 0.9])
def test_reverse_equation_follows_the_score(
    attenuation: str, noise: str, t: float
) -> None:
    process = make_process(attenuation, noise)
    x0, eps = make_images(), make_noise()
    phi = make_phi(process, x0)
    x_t = process.diffuse(x0, phi, eps, t).requires_grad_()
    drift, diffusion = process.reverse_sde(x_t, phi, eps, t)

    mean = process.diffuse(x0, phi, torch.zeros_like(eps), t)
    var = NOISE_VARIANCE[noise]
    log_q = torch.distributions.Normal(mean, math.sqrt(var(t))).log_prob(x_t)
    (score,) = torch.autograd.grad(log_q.sum(), x_t)
    g_squared = (var(t + 1e-5) - var(t - 1e-5)) / 2e-5
    later, sooner = (process.attenuation.integral(phi, t + d) for d in (1e-5, -1e-5))
    h_t = (later - sooner) / 2e-5  # Eq. (3) with f_t x_t replaced by h_t
    torch.testing.assert_close(drift, h_t - g_squared * score, rtol=1e-6, atol=1e-6)
    assert diffusion.item() ** 2 == pytest.approx(g_squared)


# Times and arguments.


@every_process
def test_times_may_differ_per_image(attenuation: str, noise: str) -> None:
    process = make_process(attenuation, noise)
    x0, eps, xi = make_images(), make_noise(), make_noise(seed=2)
    phi = make_phi(process, x0)
    t, s = torch.tensor([0.4, 0.9]).double(), torch.tensor([0.1, 0.9]).double()
    x_t = process.diffuse(x0, phi, eps, t)
    x_r = process.step(x_t, phi, eps, t, s, 1.0, xi)

    for i in range(2):
        one = slice(i, i + 1)
        alone = process.diffuse(x0[one], phi[one], eps[one], t[i].item())
        torch.testing.assert_close(x_t[one], alone)
        back = process.step(alone, phi[one], eps[one], t[i], s[i], 1.0, xi[one])
        torch.testing.assert_close(x_r[one], back)
        clean = process.denoised(x_t, phi, eps, t)[one]
        torch.testing.assert_close(clean, x0[one])


def test_time_may_be_any_kind_of_number() -> None:
    process, x0, eps = make_process(), make_images(), make_noise()
    phi = make_phi(process, x0)
    expected = process.diffuse(x0, phi, eps, 1.0)
    for t in (1, torch.tensor(1), torch.tensor(1.0), torch.ones(2), torch.ones(1)):
        assert torch.equal(process.diffuse(x0, phi, eps, t), expected)


def test_half_precision_images_keep_their_type() -> None:
    process, x0 = make_process(), make_images().bfloat16()
    phi = draw_phi(process, x0)
    x_t = process.diffuse(x0, phi, make_noise().bfloat16(), 0.5)
    assert x_t.dtype == torch.bfloat16
    assert process.step(x_t, phi, x0, 0.5, 0.25, 0.0).dtype == torch.bfloat16


@pytest.mark.parametrize('t', [-1e-6, 1.0001, math.nan, 7, torch.tensor([0.5, 2.0])])
def test_time_outside_the_process_is_an_error_that_names_it(t) -> None:
    process, x0, eps = make_process(), make_images(), make_noise()
    values = t.tolist() if isinstance(t, Tensor) else [t]
    for use in (process.diffuse, process.denoised, process.reverse_sde):
        with pytest.raises(ValueError) as caught:
            use(x0, -x0, eps, t)
        assert f't={values}' in str(caught.value)


def test_step_larger_than_t_is_an_error() -> None:
    process, x0, eps = make_process(), make_images(), make_noise()
    with pytest.raises(ValueError, match=r't=\[-0\.25\]'):
        process.step(x0, -x0, eps, 0.5, 0.75)


@pytest.mark.parametrize('eta', [-0.1, 1.5, math.nan])
def test_eta_outside_its_range_is_an_error(eta: float) -> None:
    process, x0, eps = make_process(), make_images(), make_noise()
    with pytest.raises(ValueError, match=f'eta={eta}'):
        process.step(x0, -x0, eps, 0.5, 0.25, eta)


@pytest.mark.parametrize('t_min', [0, 1, -1e-3, 2.0, math.nan])
def test_smallest_time_outside_its_range_is_an_error(t_min: float) -> None:
    with pytest.raises(ValueError, match=f't_min={t_min}'):
        make_process(t_min=t_min)


def test_process_is_built_from_names_with_the_papers_choice_as_default() -> None:
    default = build(MODELS, dict(type='ADMProcess'))
    assert type(default.attenuation).__name__ == 'ConstantAttenuation'
    assert type(default.noise).__name__ == 'WienerNoise'
    assert default.t_min == 1e-4  # Table I, the image-conditioned tasks

    attenuation, noise = dict(type='LinearAttenuation'), dict(type='LinearNoise')
    process = ADMProcess(attenuation, noise, t_min=1e-3)
    assert isinstance(process.attenuation, LinearAttenuation)
    assert isinstance(process.noise, LinearNoise)
    assert process.t_min == 1e-3


@pytest.mark.parametrize('channels', [1, 4, 6])
def test_phi_of_the_wrong_channel_count_is_refused(channels: int) -> None:
    process, x = ADMProcess(), torch.zeros(2, 3, 4, 4)
    phi = torch.zeros(2, channels, 4, 4)
    message = rf'phi has {channels} channels, not 3.*out_channels to 3'
    with pytest.raises(ValueError, match=message):
        process.diffuse(x, phi, x, 0.5)
    with pytest.raises(ValueError, match=message):
        process.denoised(x, phi, x, 0.5)
    with pytest.raises(ValueError, match=message):
        process.step(x, phi, x, 0.5, 0.1)
