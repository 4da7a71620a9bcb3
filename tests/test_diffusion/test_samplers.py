"""Samplers: N steps are N evaluations, Algorithm 2 by line, correct distributions."""

import math
from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor

from mmadm.diffusion import (
    ADMProcess,
    ADMSampler,
    EqualStepGrid,
    EulerMaruyamaSampler,
    MeanEstimateSampler,
    Sampler,
    UniformGrid,
    VPProcess,
)
from mmadm.registry import SAMPLERS, build
from tests.oracles import (
    ATTENUATION_CONFIGS,
    NOISE_CONFIGS,
    NOISE_VARIANCE,
    GaussianDenoiser,
    NoiseStream,
    PerfectDenoiser,
    make_images,
    make_noise,
    make_process,
)

SAMPLERS_TO_TEST = [ADMSampler, EulerMaruyamaSampler]
every_sampler = pytest.mark.parametrize('kind', SAMPLERS_TO_TEST)
every_process = pytest.mark.parametrize(
    ('attenuation', 'noise'), [*product(ATTENUATION_CONFIGS, NOISE_CONFIGS)]
)


def imperfect(x_t: Tensor, t: float) -> tuple[Tensor, Tensor]:
    """A denoiser whose two outputs disagree about the image."""
    return torch.sin(x_t + t) - 0.3, 0.8 * x_t + 0.1 * t


@every_process
@pytest.mark.parametrize('eta', [0.0, 1.0])
@pytest.mark.parametrize('correct', [True, False])
@pytest.mark.parametrize('num_steps', [1, 2, 5, 10, 37])
def test_any_step_count_recovers_the_image_with_a_perfect_denoiser(
    attenuation: str, noise: str, eta: float, correct: bool, num_steps: int
) -> None:
    process, x0 = make_process(attenuation, noise), make_images()
    torch.manual_seed(0)
    denoise = PerfectDenoiser(process, x0)
    sample = ADMSampler(num_steps, eta=eta, correct=correct)
    torch.testing.assert_close(sample(denoise, process, NoiseStream()), x0)
    assert len(denoise.times) == num_steps


@pytest.mark.parametrize('num_steps', [1, 2, 10])
def test_perfect_denoiser_recovers_the_image_in_the_variance_preserving_process(
    num_steps: int,
) -> None:
    process, x0 = VPProcess(), make_images()
    for eta in (0.0, 1.0):
        denoise = PerfectDenoiser(process, x0)
        image = ADMSampler(num_steps, eta=eta)(denoise, process, NoiseStream())
        torch.testing.assert_close(image, x0)


@every_sampler
@pytest.mark.parametrize('num_steps', [1, 2, 5, 10])
def test_n_steps_are_n_evaluations_at_the_times_of_the_grid(
    kind: type[Sampler], num_steps: int
) -> None:
    process = make_process(t_min=1e-3)
    denoise = PerfectDenoiser(process, make_images())
    kind(num_steps)(denoise, process, NoiseStream())
    times = UniformGrid()(num_steps, process).tolist()
    assert denoise.times == times[:-1]
    assert kind(num_steps).times(process) == times
    if num_steps > 1:
        assert denoise.times[-1] == pytest.approx(1e-3)  # Sec. V-A


@every_sampler
def test_number_of_steps_can_be_passed_per_call(kind: type[Sampler]) -> None:
    process = make_process()
    denoise = PerfectDenoiser(process, make_images())
    sample = kind(num_steps=4)
    sample(denoise, process, NoiseStream(), num_steps=7)
    assert len(denoise.times) == 7
    assert len(sample.times(process)) == 5
    assert len(sample.times(process, 2)) == 3


@every_sampler
@pytest.mark.parametrize('num_steps', [0, -3, 2.5, True])
def test_step_count_that_is_not_a_positive_integer_is_an_error(
    kind: type[Sampler], num_steps
) -> None:
    process = make_process()
    with pytest.raises(ValueError, match=f'num_steps={num_steps!r}'):
        kind()(imperfect, process, NoiseStream(), num_steps=num_steps)


@pytest.mark.parametrize('eta', [-0.5, 1.01, math.nan])
def test_eta_outside_its_range_is_an_error(eta: float) -> None:
    with pytest.raises(ValueError, match=f'eta={eta}'):
        ADMSampler(eta=eta)


# Algorithm 2, written out.


def algorithm_2(
    phi_of: Callable[[Tensor, Tensor, float], Tensor], num_steps: int
) -> Tensor:
    """Algorithm 2 of the paper for ``h_t = c``, with equal steps s = 1/N."""
    noise = NoiseStream()
    x_t, s = noise(), 1 / num_steps
    for i in range(num_steps):
        t = 1 - i * s
        c, eps = imperfect(x_t, t)
        c = phi_of(x_t - c * t - math.sqrt(t) * eps, c, t)
        mean = x_t + c * (t - s) - c * t - s / math.sqrt(t) * eps
        if i == num_steps - 1:
            return mean
        x_t = mean + math.sqrt(s * (t - s) / t) * noise()
    raise AssertionError


def test_sampler_is_algorithm_2_with_phi_as_predicted() -> None:
    sample = ADMSampler(6, grid=dict(type=EqualStepGrid), correct=False)
    image = sample(imperfect, make_process(), NoiseStream())
    torch.testing.assert_close(image, algorithm_2(lambda x0, c, t: c, 6))


def test_sampler_is_algorithm_2_with_phi_of_both_outputs() -> None:
    image = ADMSampler(6, grid=EqualStepGrid())(
        imperfect, make_process(), NoiseStream()
    )
    torch.testing.assert_close(image, algorithm_2(lambda x0, c, t: -x0, 6))


def test_correction_keeps_the_drawn_parameters() -> None:
    process, states = make_process('linear'), []
    x_1, a, c, eps = (make_noise(seed=i) for i in (1, 4, 5, 6))

    def denoise(x_t: Tensor, t: float) -> tuple[Tensor, Tensor]:
        return torch.cat([a, c], dim=1), eps

    def callback(i: int, t: float, x_t: Tensor, x0: Tensor) -> None:
        states.append(x_t)

    sample = ADMSampler(2, grid=EqualStepGrid(), eta=0.0)
    sample(denoise, process, NoiseStream(), callback=callback)
    x0 = x_1 - (a / 2 + c) - eps
    c_of_x0 = -x0 - a / 2
    h_1, h_half = a / 2 + c_of_x0, a / 8 + c_of_x0 / 2
    expected = x_1 + h_half - h_1 - (1 - math.sqrt(0.5)) * eps
    torch.testing.assert_close(states[1], expected)


def test_deterministic_sampler_draws_noise_once_and_follows_its_path() -> None:
    process, noise, states = make_process(t_min=1e-3), NoiseStream(), []
    x0 = make_images()

    def callback(i: int, t: float, x_t: Tensor, x0_hat: Tensor) -> None:
        states.append((t, x_t))

    ADMSampler(5, eta=0.0)(PerfectDenoiser(process, x0), process, noise, None, callback)
    assert len(noise.drawn) == 1
    for t, x_t in states:
        torch.testing.assert_close(x_t, (1 - t) * x0 + math.sqrt(t) * noise.drawn[0])


@every_sampler
def test_stochastic_samplers_draw_noise_before_all_but_the_last_step(
    kind: type[Sampler],
) -> None:
    noise = NoiseStream()
    kind(5)(imperfect, make_process(), noise)
    assert len(noise.drawn) == 5  # the start and four steps


@every_sampler
def test_callback_gets_every_step_with_the_image_of_both_outputs(
    kind: type[Sampler],
) -> None:
    process, seen = make_process(), []
    kind(4)(imperfect, process, NoiseStream(), callback=lambda *args: seen.append(args))
    times = UniformGrid()(4, process).tolist()
    assert [(i, t) for i, t, _, _ in seen] == list(enumerate(times[:-1]))
    for _, t, x_t, x0_hat in seen:
        c, eps = imperfect(x_t, t)
        torch.testing.assert_close(x0_hat, x_t - c * t - math.sqrt(t) * eps)


@every_sampler
def test_clipping_bounds_estimates_and_images(kind: type[Sampler]) -> None:
    process, estimates = make_process(), []
    sample = kind(4, clip=0.25)
    x0 = sample(
        imperfect,
        process,
        NoiseStream(),
        callback=lambda i, t, x, x0: estimates.append(x0),
    )
    for image in (x0, *estimates):
        assert image.max() == 0.25
        assert image.min() == -0.25
    assert kind(4)(imperfect, process, NoiseStream()).abs().max() > 0.25


def test_correction_uses_the_clipped_estimate() -> None:
    process, seen = make_process(), []
    ADMSampler(2, grid=EqualStepGrid(), clip=0.25, eta=0.0)(
        imperfect, process, NoiseStream(), callback=lambda *args: seen.append(args)
    )
    (_, _, x_1, _), (_, _, x_half, _) = seen
    c, eps = imperfect(x_1, 1.0)
    x0 = (x_1 - c - eps).clamp(-0.25, 0.25)
    expected = x_1 + x0 / 2 - (1 - math.sqrt(0.5)) * eps
    torch.testing.assert_close(x_half, expected)


# Euler-Maruyama.


@pytest.mark.parametrize('attenuation', ['constant', 'power 2'])
@pytest.mark.parametrize('noise', NOISE_CONFIGS)
def test_euler_maruyama_takes_steps_of_the_reverse_equation(
    attenuation: str, noise: str
) -> None:
    process, source, seen = make_process(attenuation, noise), NoiseStream(), []
    image = EulerMaruyamaSampler(2, grid=EqualStepGrid())(
        imperfect, process, source, callback=lambda *args: seen.append(args[2])
    )
    x_t, var = source.drawn[0], NOISE_VARIANCE[noise]
    for t, xi in ((1.0, source.drawn[1]), (0.5, torch.zeros_like(x_t))):
        phi, eps = imperfect(x_t, t)
        h_t = phi if attenuation == 'constant' else 2 * t * phi
        g_squared = (var(t + 1e-6) - var(t - 1e-6)) / 2e-6
        drift = h_t + g_squared / math.sqrt(var(t)) * eps
        x_t = x_t - 0.5 * drift + math.sqrt(0.5 * g_squared) * xi
        expected = seen[1] if t == 1.0 else image
        torch.testing.assert_close(expected, x_t)


# The distribution of samples.

MEAN, STD = 0.3, 0.5


def ideal_denoiser(process: ADMProcess) -> GaussianDenoiser:
    if isinstance(process, VPProcess):
        signal = lambda t: math.exp(-0.05 * t - 4.975 * t**2)  # noqa: E731
        return GaussianDenoiser(
            MEAN, STD, signal, lambda t: math.sqrt(1 - signal(t) ** 2)
        )
    return GaussianDenoiser(MEAN, STD, lambda t: 1 - t, math.sqrt)


@pytest.mark.parametrize('process', [make_process(), VPProcess()], ids=['ADM', 'VP'])
@pytest.mark.parametrize(
    'sample',
    [
        ADMSampler(200),
        ADMSampler(200, correct=False),
        ADMSampler(200, eta=0.0),
        ADMSampler(200, eta=0.5),
        EulerMaruyamaSampler(500),
    ],
    ids=['Algorithm 2', 'as predicted', 'deterministic', 'half', 'Euler-Maruyama'],
)
def test_samples_of_gaussian_data_have_their_mean_and_deviation(
    process: ADMProcess, sample: Sampler
) -> None:
    images = sample(ideal_denoiser(process), process, NoiseStream(20_000, 1, 1, 1))
    assert images.mean().item() == pytest.approx(MEAN, abs=0.02)
    assert images.std().item() == pytest.approx(STD, rel=0.05)


def test_one_step_gives_the_mean_of_the_data() -> None:
    process = make_process()
    images = ADMSampler(1)(ideal_denoiser(process), process, NoiseStream())
    torch.testing.assert_close(images, torch.full_like(images, MEAN))


# Building.


@every_sampler
def test_samplers_are_built_by_their_registered_names(kind: type[Sampler]) -> None:
    sample = build(SAMPLERS, dict(type=kind.__name__, grid=dict(type='EqualStepGrid')))
    assert type(sample) is kind
    assert isinstance(sample.grid, EqualStepGrid)


def test_defaults_are_ten_steps_of_algorithm_2_on_the_uniform_grid() -> None:
    sample, process = ADMSampler(), make_process()
    assert sample.times(process) == UniformGrid()(10, process).tolist()
    assert (sample.eta, sample.correct, sample.clip) == (1.0, True, None)
    assert len(EulerMaruyamaSampler().times(process)) == 11


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_sampling_keeps_the_precision_of_its_noise(dtype: torch.dtype) -> None:
    stream = NoiseStream()
    image = ADMSampler(3)(imperfect, make_process(), lambda: stream().to(dtype))
    assert image.dtype == dtype


@pytest.mark.parametrize('num_steps', [1, 2, 7])
def test_the_mean_estimate_of_a_perfect_denoiser_is_the_image(num_steps: int) -> None:
    process, x0 = make_process('constant', 'wiener'), make_images()
    denoise = PerfectDenoiser(process, x0)
    sample = MeanEstimateSampler(num_steps)
    torch.testing.assert_close(sample(denoise, process, NoiseStream()), x0)
    assert len(denoise.times) == num_steps


def test_the_mean_estimate_is_the_mean_of_what_the_callback_sees() -> None:
    process, seen = ADMProcess(), []
    sample = MeanEstimateSampler(5)
    torch.manual_seed(0)
    mean = sample(
        imperfect,
        process,
        NoiseStream(),
        callback=lambda i, t, x_t, x0: seen.append(x0),
    )
    torch.testing.assert_close(mean, torch.stack(seen).mean(0))


def test_the_mean_estimate_varies_less_than_a_sample() -> None:
    """With exact posterior means of Gaussian data, over many draws."""
    process, spread = ADMProcess(t_min=1e-4), []
    for kind in (ADMSampler, MeanEstimateSampler):
        torch.manual_seed(0)
        denoise = GaussianDenoiser(0.0, 1.0, lambda t: 1 - t, lambda t: t**0.5)
        images = kind(5)(denoise, process, lambda: torch.randn(4000, 1, 1, 1).double())
        spread.append(float(images.std()))
    assert spread[1] < 0.7 * spread[0]
