"""The log-likelihood against the closed-form density of a mixture of Gaussians."""

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from mmadm.diffusion import (
    ADMProcess,
    VPProcess,
    bits_per_dim,
    log_likelihood,
    rademacher,
)
from tests.oracles import GaussianDenoiser, make_images, make_noise, make_process

CENTRES = make_images(3, 1, 2, 2, seed=5)
#: Variance of a drawn parameter; the value does not matter.
DRAWN = 0.6
#: Factors of the image and of each drawn parameter in x_t, from ``x0 + H_t``.
GAINS = {
    'constant': lambda t: [1 - t],
    'linear': lambda t: [1 - t, (t**2 - t) / 2],
    'quadratic': lambda t: [1 - t, (t**3 - t) / 3, (t**2 - t) / 2],
    'square root': lambda t: [1 - t, (t**1.5 - t) * 2 / 3],
    'power 2': lambda t: [1 - t**2],
    'vp': lambda t: [math.exp(-t * 0.1 / 2 - t**2 * 19.9 / 4)],
}
ADM_CASES = list(itertools.product(list(GAINS)[:-1], ['wiener', 'linear']))


class Mixture:
    """Three Gaussians around ``CENTRES``: the density of x_t, and the exact denoiser.

    Given a component, image, drawn parameters and noise are normal, and ``x_t`` is a
    sum of them, each with its gain.
    """

    def __init__(self, process: ADMProcess, name: str, std: float = 0.5) -> None:
        self.process, self.gains, self.variance = process, GAINS[name], std**2
        self.times: list[float] = []

    def moments(self, t: float) -> tuple[list[float], float, float]:
        """The gains, b(t), and the variance of x_t around an attenuated centre."""
        gains = self.gains(t)
        b = float(self.process.noise.std(torch.tensor(t, dtype=torch.float64)))
        drawn = DRAWN * sum(gain**2 for gain in gains[1:])
        return gains, b, gains[0] ** 2 * self.variance + drawn + b**2

    def exponents(self, x_t: Tensor, t: float) -> Tensor:
        gains, _, variance = self.moments(t)
        offsets = (x_t[:, None] - gains[0] * CENTRES.to(x_t)).flatten(2)
        return -offsets.square().sum(2) / (2 * variance)

    def log_density(self, x_t: Tensor, t: float) -> Tensor:
        total = self.exponents(x_t, t).logsumexp(1) - math.log(len(CENTRES))
        _, _, variance = self.moments(t)
        return total - x_t[0].numel() / 2 * math.log(2 * math.pi * variance)

    def __call__(self, x_t: Tensor, t: float) -> tuple[Tensor, Tensor]:
        self.times.append(t)
        gains, b, variance = self.moments(t)
        weights = self.exponents(x_t, t).softmax(1)
        mean = torch.einsum('nm,mchw->nchw', weights, CENTRES.to(x_t))
        rest = (x_t - gains[0] * mean) / variance

        x0 = mean + gains[0] * self.variance * rest
        free = [gain * DRAWN * rest for gain in gains[1:]]
        return self.process.attenuation.solve(x0, *free), b * rest


def points() -> Tensor:
    """Six images, spread more widely than those of the mixture."""
    return CENTRES.repeat(2, 1, 1, 1) + 0.7 * make_noise(6, 1, 2, 2)


def error(mixture: Mixture, num_steps: int) -> float:
    """Largest error of the log density at the points, in nats."""
    log_p = log_likelihood(mixture, mixture.process, points(), num_steps)
    exact = mixture.log_density(points(), mixture.process.t_min)
    return float((log_p - exact).abs().max())


@pytest.mark.parametrize(('name', 'noise'), ADM_CASES)
def test_the_likelihood_is_the_density_of_the_mixture_at_t_min(name, noise):
    for t_min, num_steps in ((1e-4, 32), (0.1, 16)):
        mixture = Mixture(make_process(name, noise, t_min), name)
        assert error(mixture, num_steps) < 5e-5


@pytest.mark.parametrize('noise', ['wiener', 'linear'])
def test_the_default_steps_are_enough_for_images_close_to_their_centres(noise):
    mixture = Mixture(make_process('constant', noise), 'constant', std=0.05)
    x_t = CENTRES + 0.05 * make_noise(3, 1, 2, 2)
    found = log_likelihood(mixture, mixture.process, x_t)
    exact = mixture.log_density(x_t, mixture.process.t_min)
    torch.testing.assert_close(found, exact, atol=2e-3, rtol=0)


def test_for_the_vp_process_the_likelihood_is_approximate():
    assert error(Mixture(VPProcess(), 'vp'), 32) < 0.03


@pytest.mark.parametrize(('name', 'noise'), ADM_CASES[:4])
def test_the_error_falls_sixteenfold_when_the_steps_double(name, noise):
    mixture = Mixture(make_process(name, noise), name)
    assert 3.7 < math.log2(error(mixture, 16) / error(mixture, 32)) < 4.7


def test_with_all_sign_vectors_as_probes_the_estimate_is_exact():
    # Over all 2^4 sign vectors the mean of v v^T is the identity: the expectation.
    mixture = Mixture(make_process(), 'constant')
    signs = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=4))).double()
    probes = (signs / 4).view(16, 1, 1, 2, 2).expand(-1, 6, -1, -1, -1)
    estimate = log_likelihood(mixture, mixture.process, points(), 4, probes)
    exact = log_likelihood(mixture, mixture.process, points(), 4)
    torch.testing.assert_close(estimate, exact)


def test_the_mean_of_many_estimates_is_the_likelihood():
    mixture = Mixture(make_process(), 'constant')
    x_t = points()[:1].expand(1000, -1, -1, -1)
    probes = rademacher(x_t, range(1000))
    estimates = log_likelihood(mixture, mixture.process, x_t, 4, probes)
    exact = log_likelihood(mixture, mixture.process, points()[:1], 4)
    deviation = float(estimates.std())
    assert deviation > 0.01
    assert abs(float(estimates.mean() - exact)) < 3 * deviation / 1000**0.5


def test_more_probes_reduce_the_deviation_of_the_estimate():
    mixture = Mixture(make_process(), 'constant')
    x_t = points()[:1].expand(400, -1, -1, -1)
    spread = [
        float(log_likelihood(mixture, mixture.process, x_t, 2, probes).std())
        for probes in (rademacher(x_t, range(400), count) for count in (1, 16))
    ]
    assert spread[0] / spread[1] == pytest.approx(4, rel=0.2)


def test_likelihood_of_an_image_does_not_depend_on_the_batch():
    mixture, x_t, seeds = Mixture(make_process(), 'constant'), points(), range(3, 9)

    def estimate(start: int, end: int) -> Tensor:
        chosen = x_t[start:end]
        probes = rademacher(chosen, seeds[start:end], count=2)
        return log_likelihood(mixture, mixture.process, chosen, 4, probes)

    apart = torch.cat([estimate(0, 1), estimate(1, 4), estimate(4, 6)])
    torch.testing.assert_close(apart, estimate(0, 6), atol=1e-12, rtol=0)


def test_probes_are_signs_that_follow_from_the_seed():
    x_t = make_images(3, 2, 4, 4)
    probes = rademacher(x_t, [8, 9, 8], count=4)
    assert probes.shape == (4, 3, 2, 4, 4)
    assert torch.equal(probes.abs(), torch.full_like(probes, 0.5))
    assert torch.equal(probes[:, 0], probes[:, 2])
    assert not torch.equal(probes[:, 0], probes[:, 1])
    assert not torch.equal(probes[0], probes[1])


def test_a_unit_gaussian_has_its_entropy_in_bits_per_dimension():
    x_t = make_noise(4, 3, 2, 2)
    x_t = x_t * (12 / x_t.square().flatten(1).sum(1)).sqrt().view(-1, 1, 1, 1)
    gaussian = GaussianDenoiser(0, 1, lambda t: 1 - t, math.sqrt)
    bits = bits_per_dim(log_likelihood(gaussian, make_process(), x_t), x_t)
    entropy = math.log2(2 * math.pi * math.e) / 2
    torch.testing.assert_close(bits, torch.full_like(bits, entropy), atol=1e-4, rtol=0)


def test_a_step_is_four_evaluations_between_t_min_and_1():
    process = make_process(t_min=1e-3)
    mixture = Mixture(process, 'constant')
    log_likelihood(mixture, process, points(), 5)
    assert len(mixture.times) == 20
    assert mixture.times == sorted(mixture.times)
    assert mixture.times[0] == pytest.approx(process.t_min)
    assert mixture.times[-1] == 1


def test_a_float32_network_gets_float32_and_no_gradient():
    network = nn.Conv2d(1, 2, 3, padding=1)

    def denoise(x_t: Tensor, t: float) -> tuple[Tensor, Tensor]:
        assert x_t.dtype == torch.float32
        return network(x_t).chunk(2, dim=1)

    with torch.no_grad():
        found = log_likelihood(denoise, make_process(), points().float(), 2)
    assert found.dtype == torch.float64
    assert found.shape == (6,)
    assert found.isfinite().all() and not found.requires_grad
    assert network.weight.grad is None


def test_zero_steps_zero_probes_and_missing_seeds_are_refused():
    x_t, process = points(), make_process()
    with pytest.raises(ValueError, match='num_steps=0'):
        log_likelihood(Mixture(process, 'constant'), process, x_t, 0)
    with pytest.raises(ValueError, match=r'count=0\. Give 1 or more'):
        rademacher(x_t, range(6), count=0)
    with pytest.raises(ValueError, match=r'5 seeds for 6 images\. Give one per image'):
        rademacher(x_t, range(5))
