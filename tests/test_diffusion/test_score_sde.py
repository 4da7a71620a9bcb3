"""Score SDE: the variance-exploding process and the predictor-corrector sampler."""

import math
from itertools import pairwise

import pytest
import torch

from mmadm.diffusion import (
    ADMProcess,
    EulerMaruyamaSampler,
    ExponentialNoise,
    MultistepSampler,
    NoAttenuation,
    Preconditioner,
    PredictorCorrectorSampler,
    RhoGrid,
    VPProcess,
    encode,
    log_likelihood,
)
from tests.oracles import (
    GaussianDenoiser,
    NoiseStream,
    PerfectDenoiser,
    make_images,
    make_noise,
)

VE = ADMProcess(dict(type=NoAttenuation), dict(type=ExponentialNoise), t_min=1e-5)
MEAN, STD = 0.3, 0.5


def sigma(t: float) -> float:
    """Song's geometric sequence."""
    return 0.01 * 5000**t


def ve_level(t: float) -> float:
    """Standard deviation that the SDE has added since t = 0."""
    return math.sqrt(sigma(t) ** 2 - sigma(0) ** 2)


def vp_alpha(t: float) -> float:
    return math.exp(-0.05 * t - 19.9 * t * t / 4)


DENOISERS = {
    'VE': (VE, GaussianDenoiser(MEAN, STD, lambda t: 1.0, ve_level)),
    'VP': (
        VPProcess(),
        GaussianDenoiser(
            MEAN, STD, vp_alpha, lambda t: math.sqrt(1 - vp_alpha(t) ** 2)
        ),
    ),
}
every_process = pytest.mark.parametrize('name', DENOISERS)


def test_noise_levels_are_those_of_the_sde() -> None:
    noise, t = ExponentialNoise(), torch.linspace(1e-3, 1, 50, dtype=torch.float64)
    expected = torch.tensor([ve_level(u) for u in t.tolist()]).double()
    torch.testing.assert_close(noise.std(t), expected, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(noise.time(noise.std(t)), t)
    # d sigma^2 / dt, the square of their diffusion coefficient.
    rate = [2 * math.log(5000) * sigma(u) ** 2 for u in t.tolist()]
    torch.testing.assert_close(noise.variance_rate(t), torch.tensor(rate).double())


def test_variance_rate_is_the_derivative_of_the_variance() -> None:
    t = torch.linspace(0.01, 1, 50, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(ExponentialNoise().std(t).square().sum(), t)
    torch.testing.assert_close(ExponentialNoise().variance_rate(t.detach()), slope)


def test_network_is_a_scaled_score() -> None:
    """The score is the raw output over sigma, but for its sign."""
    x_t, t = make_noise(), torch.tensor([0.4]).double()
    seen = []

    def network(x, c_noise):
        seen.extend([x, c_noise])
        return (x.cos(),)

    preconditioner = Preconditioner(scaling='score_sde', predicts='eps')
    phi, eps = preconditioner(network, VE, x_t, t)
    torch.testing.assert_close(seen[0], x_t)
    assert seen[1].item() == pytest.approx(math.log(ve_level(0.4)))
    torch.testing.assert_close(eps, x_t.cos())
    torch.testing.assert_close(-phi + ve_level(0.4) * eps, x_t)


@pytest.mark.parametrize('nfe', [1, 2, 3, 4, 9, 10])
def test_every_evaluation_counts(nfe: int) -> None:
    denoise, seen = PerfectDenoiser(VE, make_images()), []
    PredictorCorrectorSampler(nfe)(
        denoise, VE, NoiseStream(), callback=lambda i, *_: seen.append(i)
    )
    assert len(denoise.times) == nfe
    assert seen == [*range(nfe)]


def test_corrector_is_algorithm_4_of_song() -> None:
    """Two steps on VE, written out: corrector, predictor, at each of two times."""
    r, process = 0.16, VE
    times = [1.0, VE.t_min, 0.0]
    stream, reference = NoiseStream(), NoiseStream()

    def score(x, t):
        return -torch.sin(x + t) / ve_level(t)

    x = ve_level(1) * reference()
    for t, later in pairwise(times):
        z, grad = reference(), score(x, t)
        for i in range(len(x)):
            step = 2 * (r * z[i].norm() / grad[i].norm()) ** 2
            x[i] = x[i] + step * grad[i] + torch.sqrt(2 * step) * z[i]
        g2 = 2 * math.log(5000) * sigma(t) ** 2
        x = x + g2 * score(x, t) * (t - later)
        if later > 0:
            x = x + math.sqrt(g2 * (t - later)) * reference()

    image = PredictorCorrectorSampler(4, snr=r)(
        lambda x_t, t: (0 * x_t, torch.sin(x_t + t)), process, stream
    )
    torch.testing.assert_close(image, x, rtol=1e-5, atol=1e-5)


@every_process
@pytest.mark.parametrize(
    'sampler',
    [
        PredictorCorrectorSampler(400, grid=dict(type=RhoGrid, rho=3), snr=0.05),
        EulerMaruyamaSampler(400, grid=dict(type=RhoGrid, rho=3)),
        MultistepSampler(60, grid=dict(type=RhoGrid, rho=3)),
    ],
    ids=['predictor-corrector', 'Euler-Maruyama', 'ODE'],
)
def test_gaussian_images_are_sampled_with_their_mean_and_deviation(
    name: str, sampler
) -> None:
    process, denoise = DENOISERS[name]
    images = sampler(denoise, process, NoiseStream(500, 3, 4, 4))
    assert images.mean().item() == pytest.approx(MEAN, abs=0.02)
    assert images.std().item() == pytest.approx(STD, rel=0.05)


def test_likelihood_of_gaussian_images_is_exact() -> None:
    """Also with a start of deviation 50: log N(x; 0, std^2 + b(t_min)^2)."""
    process = ADMProcess(dict(type=NoAttenuation), VE.noise, t_min=1e-2)
    denoise = GaussianDenoiser(0.0, STD, lambda t: 1.0, ve_level)
    x = make_images(2, 1, 2, 2)
    variance = STD**2 + ve_level(1e-2) ** 2
    expected = -(x**2 / variance + math.log(2 * math.pi * variance)) / 2
    result = log_likelihood(denoise, process, x, num_steps=128)
    # The start is N(0, 50^2) instead of N(0, 50^2 + 0.25).
    torch.testing.assert_close(result, expected.flatten(1).sum(1), rtol=0, atol=5e-3)


def test_inversion_returns_the_noise_from_which_an_image_is_sampled() -> None:
    process, denoise = DENOISERS['VE']
    sampler = MultistepSampler(80, grid=dict(type=RhoGrid, rho=3))
    noise = NoiseStream()()
    image = sampler(denoise, process, lambda: noise)
    torch.testing.assert_close(
        encode(sampler, denoise, process, image), noise, rtol=0, atol=0.02
    )


@pytest.mark.parametrize('snr', [0.0, -1.0, math.nan])
def test_langevin_step_without_size_is_an_error(snr: float) -> None:
    with pytest.raises(ValueError, match=f'snr={snr}'):
        PredictorCorrectorSampler(snr=snr)
