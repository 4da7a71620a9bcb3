"""The VP process is that of DDPM: its marginals, its posterior, the step of DDIM."""

import math

import pytest
import torch
from scipy import integrate
from torch import Tensor

from mmadm.diffusion import VPAttenuation, VPNoise, VPProcess
from mmadm.registry import ATTENUATIONS, MODELS, build
from tests.oracles import draw_phi, make_images, make_noise

STEPS = [(1.0, 0.9), (0.7, 0.65), (0.3, 1e-3), (0.5, 0.2), (0.05, 0.0)]
every_step = pytest.mark.parametrize(('t', 'r'), STEPS)


def ddpm_rate(t: float) -> float:
    """DDPM's variances rise from 1e-4 to 0.02 in 1,000 steps; here per unit of t."""
    return 1000 * (1e-4 + t * (0.02 - 1e-4))


def alpha_bar(t: float) -> float:
    """The product of DDPM's ``1 - beta``, in continuous time, by quadrature."""
    return math.exp(-integrate.quad(ddpm_rate, 0, t)[0])


def marginal(x0: Tensor, eps: Tensor, t: float) -> Tensor:
    return math.sqrt(alpha_bar(t)) * x0 + math.sqrt(1 - alpha_bar(t)) * eps


def ddpm_posterior(x0: Tensor, x_t: Tensor, t: float, r: float) -> tuple[Tensor, float]:
    """Mean and variance of q(x_r | x_t, x0), Eq. (6) and (7) of the DDPM paper."""
    bar_t, bar_r = alpha_bar(t), alpha_bar(r)
    alpha, beta = bar_t / bar_r, 1 - bar_t / bar_r
    mean = math.sqrt(bar_r) * beta / (1 - bar_t) * x0
    mean = mean + math.sqrt(alpha) * (1 - bar_r) / (1 - bar_t) * x_t
    return mean, (1 - bar_r) / (1 - bar_t) * beta


@pytest.mark.parametrize('t', [0.0, 1e-3, 0.3, 1.0])
def test_marginals_are_ddpms(t: float) -> None:
    x0, eps = make_images(), make_noise()
    x_t = VPProcess().diffuse(x0, -x0, eps, t)
    torch.testing.assert_close(x_t, marginal(x0, eps, t))


def test_schedule_is_the_limit_of_ddpms_thousand_steps() -> None:
    variances = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    alphas = (1 - variances).cumprod(0).sqrt()
    x0 = torch.ones(1000, 1, 1, 1, dtype=torch.float64)
    t = torch.arange(1, 1001, dtype=torch.float64) / 1000
    left = VPProcess().diffuse(x0, -x0, 0 * x0, t).flatten()
    torch.testing.assert_close(left, alphas, rtol=0.04, atol=1e-3)


def test_variance_is_preserved() -> None:
    t = torch.linspace(0, 1, 101, dtype=torch.float64)
    one = torch.ones(101, 1, 1, 1, dtype=torch.float64)
    alpha = VPProcess().diffuse(one, -one, 0 * one, t).flatten()
    torch.testing.assert_close(alpha**2 + VPNoise().std(t) ** 2, torch.ones_like(t))


def test_a_small_fraction_of_the_image_is_left_at_time_one() -> None:
    x0 = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    rest = x0 + VPAttenuation().integral(VPAttenuation().solve(x0), 1.0)
    assert rest.item() == pytest.approx(0.0066, abs=5e-5)


def test_image_of_phi_and_denoising_return_the_image() -> None:
    process, x0, eps = VPProcess(), make_images(), make_noise()
    phi = draw_phi(process, x0)
    assert torch.equal(process.image(phi), x0)
    x_t = process.diffuse(x0, phi, eps, 0.6)
    torch.testing.assert_close(process.denoised(x_t, phi, eps, 0.6), x0)


def test_rate_is_the_derivative_of_the_integral() -> None:
    phi = make_images()
    t = (make_images(seed=5).abs() + 0.01).requires_grad_()
    (slope,) = torch.autograd.grad(VPAttenuation().integral(phi, t).sum(), t)
    torch.testing.assert_close(slope, VPAttenuation().rate(phi, t).detach())


def test_time_inverts_the_noise_level() -> None:
    t = torch.linspace(0, 1, 101, dtype=torch.float64)
    noise = VPNoise()
    torch.testing.assert_close(noise.time(noise.std(t)), t, rtol=1e-6, atol=1e-9)


def test_noise_level_above_the_schedule_is_mapped_to_its_end() -> None:
    # The schedule ends at 0.99998; grids use the level 1 of other noise paths.
    assert VPNoise().time(torch.tensor([1.0])).tolist() == [1.0]


def test_variance_rate_is_the_derivative_of_the_variance() -> None:
    t = torch.linspace(0.01, 1, 50, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(VPNoise().std(t).square().sum(), t)
    torch.testing.assert_close(VPNoise().variance_rate(t.detach()), slope)


@every_step
def test_stochastic_step_is_ddpms_posterior(t: float, r: float) -> None:
    x0, eps, xi = make_images(), make_noise(), make_noise(seed=2)
    x_t = marginal(x0, eps, t)
    mean, variance = ddpm_posterior(x0, x_t, t, r)
    x_r = VPProcess().step(x_t, -x0, eps, t, t - r, 1.0, xi)
    torch.testing.assert_close(x_r, mean + math.sqrt(variance) * xi)


@every_step
def test_deterministic_step_is_ddims(t: float, r: float) -> None:
    x_t, eps = make_noise(), make_noise(seed=2)
    x0 = (x_t - math.sqrt(1 - alpha_bar(t)) * eps) / math.sqrt(alpha_bar(t))
    x_r = VPProcess().step(x_t, -x0, eps, t, t - r, eta=0.0)
    torch.testing.assert_close(x_r, marginal(x0, eps, r))


@pytest.mark.parametrize('eta', [0.3, 0.8])
def test_step_in_between_is_the_general_rule_of_ddim(eta: float) -> None:
    t, r = 0.6, 0.4
    x0, eps, xi = make_images(), make_noise(), make_noise(seed=2)
    x_t = marginal(x0, eps, t)
    sigma = eta * math.sqrt(ddpm_posterior(x0, x_t, t, r)[1])
    direction = math.sqrt(1 - alpha_bar(r) - sigma**2) * eps
    expected = math.sqrt(alpha_bar(r)) * x0 + direction + sigma * xi
    x_r = VPProcess().step(x_t, -x0, eps, t, t - r, eta, xi)
    torch.testing.assert_close(x_r, expected)


@pytest.mark.parametrize('t', [0.1, 0.5, 0.99])
def test_reverse_equation_is_equation_5_by_finite_differences(t: float) -> None:
    x_t, eps, d = make_noise(), make_noise(seed=2), 1e-5
    log_alpha = [math.log(alpha_bar(u)) / 2 for u in (t - d, t + d)]
    variance = [1 - alpha_bar(u) for u in (t - d, t, t + d)]
    f_t = (log_alpha[1] - log_alpha[0]) / (2 * d)  # below Eq. (2)
    g_squared = (variance[2] - variance[0]) / (2 * d) - 2 * f_t * variance[1]

    drift, diffusion = VPProcess().reverse_sde(x_t, make_images(), eps, t)
    expected = f_t * x_t + g_squared / math.sqrt(variance[1]) * eps
    torch.testing.assert_close(drift, expected, rtol=1e-6, atol=1e-6)
    assert diffusion.item() ** 2 == pytest.approx(g_squared, rel=1e-6)


def test_times_may_differ_per_image() -> None:
    process, x_t, eps = VPProcess(), make_noise(), make_noise(seed=2)
    phi, t = make_images(), torch.tensor([0.3, 0.8]).double()
    s = torch.tensor([0.3, 0.1]).double()
    x_r = process.step(x_t, phi, eps, t, s, 1.0, eps)
    drift, _ = process.reverse_sde(x_t, phi, eps, t)
    for i in range(2):
        one = slice(i, i + 1)
        arguments = x_t[one], phi[one], eps[one], t[i].item()
        alone = process.step(*arguments, s[i].item(), 1.0, eps[one])
        torch.testing.assert_close(x_r[one], alone)
        torch.testing.assert_close(drift[one], process.reverse_sde(*arguments)[0])


def test_baseline_is_built_by_registered_names() -> None:
    process = build(MODELS, dict(type='VPProcess', t_min=1e-2))
    assert isinstance(process, VPProcess)
    assert process.t_min == 1e-2
    assert VPProcess().t_min == 1e-3  # Table I, unconditional
    assert isinstance(build(ATTENUATIONS, dict(type='VPAttenuation')), VPAttenuation)
    assert isinstance(build(MODELS, dict(type='VPNoise')), VPNoise)
