"""ADM with b(t) = t and the constant attenuation is rectified flow."""

import pytest
import torch
from torch import Tensor

from mmadm.diffusion import (
    ADMProcess,
    ADMSampler,
    EqualStepGrid,
    ExponentialNoise,
    HeunSampler,
    LinearNoise,
    MultistepSampler,
    NoAttenuation,
    PowerAttenuation,
    Preconditioner,
    TimeWeighting,
    VPProcess,
)
from tests.oracles import NoiseStream, make_images, make_noise, make_process

FLOW = ADMProcess(noise=dict(type=LinearNoise), t_min=1e-3)
RAW = dict(scaling='input_only', predicts='velocity')


def velocity(x_t: Tensor, t: float) -> Tensor:
    """A network of the velocity."""
    return torch.sin(2 * x_t + t) + 0.3 * t


def denoise(x_t: Tensor, t: float) -> tuple[Tensor, Tensor]:
    """What the preconditioner makes of it."""
    preconditioner = Preconditioner(**RAW)
    return preconditioner(
        lambda *_: (velocity(x_t, t),), FLOW, x_t, torch.tensor([t]).double()
    )


def test_path_is_that_of_rectified_flow() -> None:
    x0, eps, t = make_images(), make_noise(), 0.3
    x_t = FLOW.diffuse(x0, -x0, eps, t)
    torch.testing.assert_close(x_t, (1 - t) * x0 + t * eps)


def test_velocity_gives_image_and_noise_of_the_path() -> None:
    x_t, t = make_noise(), 0.3
    phi, eps = denoise(x_t, t)
    torch.testing.assert_close(phi + eps, velocity(x_t, t))  # v = eps - x0
    torch.testing.assert_close(-(1 - t) * phi + t * eps, x_t)


@pytest.mark.parametrize(
    'process',
    [
        FLOW,
        make_process('constant', 'wiener'),
        ADMProcess(dict(type=PowerAttenuation), dict(type=LinearNoise)),
        VPProcess(),
        ADMProcess(dict(type=NoAttenuation), dict(type=ExponentialNoise)),
    ],
    ids=['flow', 'ADM', 'power', 'VP', 'VE'],
)
def test_velocity_of_every_process_is_the_slope_of_its_path(process) -> None:
    x0, noise = make_images(), make_noise()
    t = torch.tensor([0.2, 0.7]).double()
    times = t.view(2, 1, 1, 1).clone().requires_grad_()
    x_t = x0 + process.attenuation.integral(process.attenuation.solve(x0), times)
    x_t = x_t + process.noise.std(times) * noise
    slope = torch.autograd.functional.jvp(
        lambda u: (
            x0
            + process.attenuation.integral(process.attenuation.solve(x0), u)
            + process.noise.std(u) * noise
        ),
        times.detach(),
        torch.ones_like(times),
    )[1]
    phi, eps = Preconditioner(**RAW)(lambda *_: (slope,), process, x_t.detach(), t)
    torch.testing.assert_close(phi, process.attenuation.solve(x0))
    torch.testing.assert_close(eps, noise)


def test_both_terms_of_the_loss_are_the_squared_error_of_the_velocity() -> None:
    x0, noise, t = make_images(), make_noise(), 0.3
    x_t = FLOW.diffuse(x0, -x0, noise, t)
    phi, eps = denoise(x_t, t)
    weights = TimeWeighting('flow_matching')(torch.tensor([t]), None)
    image, noise_weight = (weight.item() for weight in weights)
    loss = image * (phi + x0).square() + noise_weight * (eps - noise).square()
    torch.testing.assert_close(loss, (velocity(x_t, t) - (noise - x0)).square())


def euler(x: Tensor, num_steps: int) -> Tensor:
    """The sampler of flow matching, written out."""
    s = 1 / num_steps
    for i in range(num_steps):
        x = x - s * velocity(x, 1 - i * s)
    return x


def midpoint(x: Tensor, num_steps: int) -> Tensor:
    """The midpoint rule; the last step is Euler's, as no network is trained at 0."""
    s = 1 / num_steps
    for i in range(num_steps):
        t = 1 - i * s
        x_m = x - s / 2 * velocity(x, t) if i < num_steps - 1 else x
        x = x - s * velocity(x_m, t - s / 2 if i < num_steps - 1 else t)
    return x


GRID = dict(type=EqualStepGrid)


@pytest.mark.parametrize(
    'sampler',
    [
        ADMSampler(grid=GRID, eta=0.0, correct=False),
        MultistepSampler(grid=GRID, order=1, corrector=False),
    ],
    ids=['ADMSampler', 'MultistepSampler'],
)
def test_euler_is_order_one(sampler) -> None:
    x_1 = NoiseStream()()
    x_0 = sampler(denoise, FLOW, NoiseStream(), num_steps=8)
    torch.testing.assert_close(x_0, euler(x_1, 8))


def test_midpoint_rule_is_the_heun_sampler_with_half_an_alpha() -> None:
    x_1 = NoiseStream()()
    sampler = HeunSampler(grid=GRID, alpha=0.5)
    x_0 = sampler(denoise, FLOW, NoiseStream(), num_steps=15)
    torch.testing.assert_close(x_0, midpoint(x_1, 8))


def test_midpoint_and_multistep_sampler_are_both_of_order_two() -> None:
    """Twice the steps give a quarter of the error, and the same limit."""
    x_1 = NoiseStream()()
    limit = midpoint(x_1, 4096)

    def rate(solve) -> float:
        errors = [float((solve(n) - limit).norm()) for n in (32, 64)]
        return errors[0] / errors[1]

    multistep = MultistepSampler(grid=GRID, order=2, corrector=False)
    assert rate(lambda n: euler(x_1, n)) == pytest.approx(2, rel=0.2)
    assert rate(lambda n: midpoint(x_1, n)) == pytest.approx(4, rel=0.3)
    assert rate(lambda n: multistep(denoise, FLOW, NoiseStream(), n)) > 3
