"""EDM in the frame: its preconditioning, its loss, its grid."""

import math

import pytest
import torch

from mmadm.diffusion import (
    ADMProcess,
    LinearNoise,
    NoAttenuation,
    OptimalWeighting,
    Preconditioner,
    RhoGrid,
)
from tests.oracles import make_images, make_noise

SIGMAS = torch.tensor([0.002, 0.03, 0.5, 4.0, 80.0], dtype=torch.float64)
EDM = ADMProcess(
    dict(type=NoAttenuation), dict(type=LinearNoise, std_1=80.0), t_min=0.002 / 80
)


@pytest.mark.parametrize('sigma_data', [0.5, 1.0])
def test_coefficients_are_those_of_table_1_of_edm(sigma_data: float) -> None:
    c = Preconditioner(sigma_data, scaling='edm').coefficients(EDM, SIGMAS / 80)
    total = SIGMAS**2 + sigma_data**2
    torch.testing.assert_close(c.c_in, total.rsqrt())
    torch.testing.assert_close(c.c_noise, SIGMAS.log() / 4)
    torch.testing.assert_close(-c.phi_skip[:, 0], sigma_data**2 / total)
    torch.testing.assert_close(c.phi_out[:, 0], SIGMAS * sigma_data * total.rsqrt())


@pytest.mark.parametrize('sigma', [0.02, 0.5, 10.0])
def test_each_term_of_the_loss_is_edms(sigma: float) -> None:
    """``(sigma^2 + s^2) / (sigma s)^2 |D(y + n) - y|^2``, their Eq. (3) to (8)."""
    y, noise, sigma_data = make_images(), make_noise(), 0.5
    x, t = y + sigma * noise, torch.tensor([sigma / 80]).double()

    def network(x_in, c_noise):  # phi = -D
        return (-torch.sin(x_in + c_noise),)

    total = sigma**2 + sigma_data**2
    raw = torch.sin(x / math.sqrt(total) + math.log(sigma) / 4)
    denoised = sigma_data**2 / total * x + sigma * sigma_data / math.sqrt(total) * raw
    expected = total / (sigma * sigma_data) ** 2 * (denoised - y).square()

    preconditioner = Preconditioner(sigma_data, scaling='edm', predicts='phi')
    x_t = EDM.diffuse(y, -y, noise, t)
    phi, eps = preconditioner(network, EDM, x_t, t)
    weights = OptimalWeighting(cap=1e6)(t, preconditioner.coefficients(EDM, t))
    image_weight, noise_weight = (weight.item() for weight in weights)
    torch.testing.assert_close(image_weight * (phi + y).square(), expected)
    torch.testing.assert_close(noise_weight * (eps - noise).square(), expected)


def test_grid_is_edms() -> None:
    steps = 18
    first, last = 80 ** (1 / 7), 0.002 ** (1 / 7)
    expected = [(first + i / (steps - 1) * (last - first)) ** 7 for i in range(steps)]
    times = RhoGrid()(steps, EDM)
    assert (80 * times[:-1]).tolist() == pytest.approx(expected)
    assert times[-1] == 0


def test_order_of_the_root_that_is_not_positive_is_an_error() -> None:
    with pytest.raises(ValueError, match='rho=0'):
        RhoGrid(rho=0)


def test_image_stays_and_noise_covers_it() -> None:
    x0, eps = make_images(), make_noise()
    torch.testing.assert_close(EDM.diffuse(x0, -x0, eps, 0.5), x0 + 40 * eps)
    torch.testing.assert_close(EDM.image(-x0), x0)
    assert EDM.initial_std == 80
