"""The objective equals the authors' one, number by number.

Their extra term holds an accident: it multiplies every error of a batch with every time
of it. The tests do the same where a published number has it in it; mmadm's own term
gives each image the weight of its own time.
"""

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from mmadm.diffusion import ADMProcess, LinearAttenuation, LinearNoise, TimeWeighting
from mmadm.models import ADMLoss, AuthorsLoss
from mmadm.models.losses.adm_loss import RECONSTRUCTION
from tests.golden import waves

SHAPE = (4, 3, 8, 8)
PIXELS = 3 * 8 * 8
T = torch.tensor([0.05, 0.3, 0.7, 0.99])
X0 = waves(SHAPE, 0.37, 0.2, 0.9)

SQRT, LINEAR = ADMProcess(), ADMProcess(noise=dict(type=LinearNoise))
DRAWN = ADMProcess(attenuation=dict(type=LinearAttenuation))


def randn(call: int) -> Tensor:
    """What the authors' call number ``call`` of randn gives in the golden runs."""
    return waves(SHAPE, 1.3, 0.5 + call, 2**0.5)


class Terms(NamedTuple):
    """Parts of a loss: one number per image, but for the last."""

    l2: Tensor
    l1: Tensor
    both: Tensor
    image: Tensor  # the image that phi alone predicts
    rebuilt: Tensor  # what both outputs together say
    own_extra: Tensor  # mmadm's extra term


def terms(
    process: ADMProcess, rule: str | None, reduction: str, reconstruction: str
) -> Terms:
    """The loss of the network that is a formula, by mmadm's public classes."""
    drawn = [randn(1).clamp(-1, 1)] * process.attenuation.num_free
    phi, eps = process.attenuation.solve(X0, *drawn), randn(0)
    x_t = process.diffuse(X0, phi, eps, T)
    eps_hat, phi_hat = 0.7 * x_t - 0.2, -0.8 * x_t.tanh() + 0.1 * T.view(-1, 1, 1, 1)
    phi_hat = torch.cat([0.3 * x_t.sin()] * len(drawn) + [phi_hat], dim=1)
    weights = (T**0, T**0)
    if rule is not None:
        weights = TimeWeighting(rule, cap=1e9)(T, coefficients=None)

    def simple(distance: str) -> Tensor:
        criterion = ADMLoss(distance, reduction)
        pairs = zip((phi_hat, eps_hat), (phi, eps), weights)
        return sum(criterion(*pair) for pair in pairs)

    rebuilt = process.denoised(x_t, phi_hat, eps_hat, T)
    criterion = AuthorsLoss('l2', reduction, reconstruction)
    extra = criterion.extra(lambda: rebuilt, X0, T)['loss_reconstruction']
    parts = (simple(distance) for distance in ('l2', 'l1', 'l1_l2'))
    return Terms(*parts, process.image(phi_hat), rebuilt, extra)


def l1(image: Tensor) -> Tensor:
    """Mean absolute error of each image."""
    return (image - X0).abs().flatten(1).mean(1)


def mse(image: Tensor) -> Tensor:
    """Stands for LPIPS in the golden runs."""
    return (image - X0).square().flatten(1).mean(1)


def accident(errors: Tensor, reconstruction: str) -> Tensor:
    """Each error times each weight: their mean is a product of two means."""
    return torch.outer(RECONSTRUCTION[reconstruction](T), errors).mean()


# Of ADM-Public: process, rule, total and "logged simple".
ADM_LATENT = {
    'const w l2': ((SQRT, 'authors', 'l2'), 1126.235, 4.597204, 1.268603),
    'const w l1': ((SQRT, 'authors', 'both'), 1624.989, 7.194883, 1.268603),
    'const l2': ((SQRT, None, 'l2'), 408.1672, 0.8572681, 1.268603),
    'const l1': ((SQRT, None, 'both'), 423.9791, 0.9396219, 1.268603),
    'const2 w l2': (
        (LINEAR, 'authors_linear_noise', 'l2'),
        62619.02,
        325.0527,
        1.088008,
    ),
    'const2 w l1': (
        (LINEAR, 'authors_linear_noise', 'both'),
        103508.9,
        538.0209,
        1.088008,
    ),
    'const2 l2': ((LINEAR, None, 'l2'), 390.8369, 0.9476011, 1.088008),
    'const2 l1': ((LINEAR, None, 'both'), 402.0999, 1.006262, 1.088008),
}


@pytest.mark.parametrize('row', ADM_LATENT)
def test_adm_public_in_latents(row):
    (process, rule, part), total, logged, vlb = ADM_LATENT[row]
    found = terms(process, rule, 'sum', 'log')
    simple = getattr(found, part).mean()
    # Sums over the batch of sums over the pixels.
    extra = len(T) * PIXELS * accident(l1(found.rebuilt), 'log')
    assert (simple / PIXELS).item() == pytest.approx(logged, rel=1e-6)
    assert (extra / PIXELS).item() == pytest.approx(vlb, rel=1e-6)
    assert (simple + extra).item() == pytest.approx(total, rel=1e-6)

    meant = (-T.log() / 2 * l1(found.rebuilt)).mean() * PIXELS
    torch.testing.assert_close(found.own_extra, meant)


# For pixels LPIPS is the extra term: of the image that phi alone stands for, where
# b = sqrt(t), or of that of both outputs; and a mean of |error| joins a sum of squares.
ADM_PIXEL = {
    'const w l2': ((SQRT, 'authors', False, 'image'), 883.5859, 4.597204, 0.004806122),
    'const w l1': ((SQRT, 'authors', True, 'image'), 447.1506, 2.324103, 0.004806122),
    'const l1': ((SQRT, None, True, 'image'), 83.7315, 0.4312954, 0.004806122),
    'const2 w l2': (
        (LINEAR, 'authors_linear_noise', False, 'rebuilt'),
        62411.23,
        325.0527,
        0.005802158,
    ),
    'const2 w l1': (
        (LINEAR, 'authors_linear_noise', True, 'rebuilt'),
        31581.67,
        164.4821,
        0.005802158,
    ),
    'const2 l2': ((LINEAR, None, False, 'rebuilt'), 183.0534, 0.9476011, 0.005802158),
    'const2 l1': ((LINEAR, None, True, 'rebuilt'), 92.61619, 0.4765738, 0.005802158),
}


@pytest.mark.parametrize('row', ADM_PIXEL)
def test_adm_public_in_pixels(row):
    (process, rule, with_l1, image), total, logged, vlb = ADM_PIXEL[row]
    found = terms(process, rule, 'sum', 'log')
    mixed = (found.l2 + found.l1 / PIXELS) / 2
    simple = (mixed if with_l1 else found.l2).mean()
    extra = len(T) * accident(mse(getattr(found, image)), 'log')
    assert (simple / PIXELS).item() == pytest.approx(logged, rel=1e-6)
    assert (extra / PIXELS).item() == pytest.approx(vlb, rel=1e-6)
    assert (simple + extra).item() == pytest.approx(total, rel=1e-6)


def both_errors(image: Tensor) -> Tensor:
    """Of the older code for pixels, with LPIPS."""
    return l1(image) + mse(image)


# Means over the pixels: process, rule, part, error and time weight of the extra term.
OLDER = {
    'DDM const/pixel w l2': (
        (SQRT, 'authors_2023', 'l2', both_errors, 'square'),
        (5.237772, 4.825808, 0.4119638),
    ),
    'DDM const/latent w l2': (
        (SQRT, 'authors_2023', 'l2', l1, 'linear'),
        (5.098062, 4.825808, 0.2722543),
    ),
    'DDM const/pixel w l1': (
        (SQRT, 'authors_2023', 'both', both_errors, 'square'),
        (7.909603, 7.497639, 0.4119638),
    ),
    'DDM const/pixel l2': (
        (SQRT, None, 'l2', both_errors, 'square'),
        (1.269232, 0.8572681, 0.4119638),
    ),
    'DDM const/latent l2': (
        (SQRT, None, 'l2', l1, 'linear'),
        (1.129522, 0.8572681, 0.2722543),
    ),
    'DDM const/pixel l1': (
        (SQRT, None, 'both', both_errors, 'square'),
        (1.351586, 0.9396219, 0.4119638),
    ),
    'DDM const/latent l1': (
        (SQRT, None, 'both', l1, 'linear'),
        (1.211876, 0.9396219, 0.2722543),
    ),
    # The same numbers stand in both generations.
    'linear/pixel w': (
        (DRAWN, 'authors_2023', 'l2', both_errors, 'square'),
        (7.184485, 6.817371, 0.3671141),
    ),
    'DiffusionEdge l1': (
        (SQRT, 'diffusion_edge', 'both', l1, 'square'),
        (2.479077, 2.273136, 0.205941),
    ),
    'DiffusionEdge l2': (
        (SQRT, 'diffusion_edge', 'l2', l1, 'square'),
        (2.075675, 1.869734, 0.205941),
    ),
}


@pytest.mark.parametrize('row', OLDER)
def test_ddm_public_and_diffusion_edge(row):
    (process, rule, part, error, reconstruction), golden = OLDER[row]
    found = terms(process, rule, 'mean', reconstruction)
    simple = getattr(found, part).mean()
    extra = accident(error(found.rebuilt), reconstruction)
    numbers = [number.item() for number in (simple + extra, simple, extra)]
    assert numbers == pytest.approx(golden, rel=1e-6)

    weight: Callable[[Tensor], Tensor] = RECONSTRUCTION[reconstruction]
    torch.testing.assert_close(found.own_extra, (weight(T) * l1(found.rebuilt)).mean())
