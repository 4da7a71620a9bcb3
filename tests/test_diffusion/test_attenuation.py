"""Each attenuation function leads from the image to zero, analytically."""

import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from scipy import integrate, stats

from mmadm.diffusion import (
    ADMProcess,
    Attenuation,
    PowerAttenuation,
    SineAttenuation,
)
from mmadm.registry import ATTENUATIONS, build
from tests.oracles import (
    ATTENUATION_CONFIGS,
    RATES,
    draw_phi,
    make_attenuation,
    make_images,
    make_noise,
)

every_function = pytest.mark.parametrize('name', ATTENUATION_CONFIGS)
with_draws = pytest.mark.parametrize(
    'name', ['linear', 'quadratic', 'exponential', 'square root', 'sine']
)


def draw(attenuation: Attenuation, x0: torch.Tensor) -> torch.Tensor:
    return draw_phi(ADMProcess(attenuation), x0)


def check_starts_at_the_image(attenuation: Attenuation) -> None:
    phi = draw(attenuation, make_images())
    torch.testing.assert_close(
        attenuation.integral(phi, 0.0), torch.zeros_like(phi[:, :3])
    )


def check_ends_at_zero(attenuation: Attenuation) -> None:
    x0 = make_images()
    h_1 = attenuation.integral(draw(attenuation, x0), 1.0)
    torch.testing.assert_close(h_1, -x0, rtol=0, atol=1e-12)


def check_rate_is_the_derivative(attenuation: Attenuation) -> None:
    phi = draw(attenuation, make_images())
    t = make_images(2, 3, 4, 4, seed=5).abs() + 0.01
    t.requires_grad_()
    (slope,) = torch.autograd.grad(attenuation.integral(phi, t).sum(), t)
    torch.testing.assert_close(slope, attenuation.rate(phi, t).detach())


def check_integral_is_the_quadrature(attenuation: Attenuation, t: float) -> None:
    phi = draw(attenuation, make_images())
    area, _ = integrate.quad_vec(lambda u: attenuation.rate(phi, u).numpy(), 0, t)
    integral = attenuation.integral(phi, t)
    torch.testing.assert_close(integral, torch.from_numpy(area), rtol=0, atol=1e-7)


@every_function
def test_path_starts_at_the_image(name: str) -> None:
    check_starts_at_the_image(make_attenuation(name))


@every_function
def test_path_ends_at_zero(name: str) -> None:
    check_ends_at_zero(make_attenuation(name))


@every_function
def test_rate_is_the_derivative_of_the_integral(name: str) -> None:
    check_rate_is_the_derivative(make_attenuation(name))


@every_function
@pytest.mark.parametrize('t', [0.2, 0.7, 1.0])
def test_integral_is_the_quadrature_of_the_rate(name: str, t: float) -> None:
    check_integral_is_the_quadrature(make_attenuation(name), t)


@every_function
@pytest.mark.parametrize('t', [0.1, 0.6])
def test_rate_is_the_formula_of_its_name(name: str, t: float) -> None:
    attenuation = make_attenuation(name)
    phi = draw(attenuation, make_images())
    params = phi.chunk(attenuation.num_params, dim=1)
    torch.testing.assert_close(attenuation.rate(phi, t), RATES[name](t, *params))


@every_function
def test_times_may_be_numbers_or_one_per_image(name: str) -> None:
    attenuation = make_attenuation(name)
    phi = draw(attenuation, make_images())
    t = torch.tensor([0.3, 0.8], dtype=torch.float64)

    for function in (attenuation.integral, attenuation.rate):
        together = function(phi, t.view(2, 1, 1, 1))
        alone = [function(phi[[i]], float(t[i])) for i in range(2)]
        assert together.shape == (2, 3, 4, 4)
        torch.testing.assert_close(together, torch.cat(alone))


@every_function
def test_precision_of_the_image_is_kept(name: str) -> None:
    attenuation = make_attenuation(name)
    phi = draw(attenuation, make_images().float())
    t = torch.tensor(0.5)
    assert phi.dtype == torch.float32
    assert attenuation.integral(phi, t).dtype == torch.float32
    assert attenuation.rate(phi, 0.5).dtype == torch.float32


@every_function
def test_parameters_lie_one_after_the_other_along_the_channels(name: str) -> None:
    attenuation = make_attenuation(name)
    phi = draw(attenuation, make_images())
    assert phi.shape == (2, 3 * attenuation.num_params, 4, 4)

    params = attenuation.split(phi)
    assert len(params) == attenuation.num_params == attenuation.num_free + 1
    assert torch.equal(torch.cat(params, dim=1), phi)


@with_draws
def test_wrong_number_of_channels_is_an_error_that_names_it(name: str) -> None:
    attenuation = make_attenuation(name)
    channels = 2 * attenuation.num_params + 1
    phi = torch.zeros(1, channels, 2, 2)
    for use in (lambda: attenuation.integral(phi, 0.5), lambda: attenuation.split(phi)):
        with pytest.raises(ValueError, match=f'phi has {channels} channels'):
            use()


@every_function
def test_correction_leads_to_the_image_and_keeps_the_draws(name: str) -> None:
    attenuation = make_attenuation(name)
    phi = draw(attenuation, make_images())
    other = make_images(seed=9)
    corrected = attenuation.correct(phi, other)

    end = other + attenuation.integral(corrected, 1.0)
    torch.testing.assert_close(end, torch.zeros_like(end), rtol=0, atol=1e-12)
    kept = 3 * attenuation.num_free
    assert torch.equal(corrected[:, :kept], phi[:, :kept])


@with_draws
def test_drawn_parameters_are_clipped_standard_normals(name: str) -> None:
    attenuation = make_attenuation(name, free_limit=1.5)
    x0 = make_images(1, 1, 200, 200)
    *free, _ = attenuation.split(draw(attenuation, x0))

    for param in free:
        inside = param[param.abs() < 1.5]
        within = stats.norm.cdf(1.5) - stats.norm.cdf(-1.5)
        assert param.abs().max() == 1.5
        assert inside.numel() / param.numel() == pytest.approx(within, abs=0.01)
        assert (
            stats.kstest(inside.numpy(), stats.truncnorm(-1.5, 1.5).cdf).pvalue > 0.01
        )


def test_two_drawn_parameters_are_independent() -> None:
    attenuation = make_attenuation('quadratic')
    a, b, _ = attenuation.split(draw(attenuation, make_images(1, 1, 200, 200)))
    assert abs(stats.pearsonr(a.flatten(), b.flatten()).statistic) < 0.02


@pytest.mark.parametrize('limit', [0.3, 1.0, 2.5])
def test_free_variance_is_that_of_a_clipped_standard_normal(limit: float) -> None:
    def moment(a: float) -> float:
        return min(max(a, -limit), limit) ** 2 * stats.norm.pdf(a)

    variance, _ = integrate.quad(moment, -12, 12, points=(-limit, limit))
    attenuation = make_attenuation('linear', free_limit=limit)
    assert attenuation.free_variance == pytest.approx(variance, rel=1e-7)


@pytest.mark.parametrize('limit', [0, -1.0, math.nan])
def test_free_limit_that_is_not_positive_is_an_error(limit: float) -> None:
    with pytest.raises(ValueError, match=f'free_limit={limit}'):
        make_attenuation('linear', free_limit=limit)


@pytest.mark.parametrize('power', [0.999, -2, math.nan])
def test_power_below_one_is_an_error(power: float) -> None:
    with pytest.raises(ValueError, match=f'power={power}'):
        PowerAttenuation(power)


@pytest.mark.parametrize('power', [1, 2.0, 3.0, 1.5])
def test_power_family_keeps_the_stated_fraction_of_the_image(power: float) -> None:
    x0 = make_images()
    attenuation = PowerAttenuation(power)
    left = x0 + attenuation.integral(draw(attenuation, x0), 0.6)
    torch.testing.assert_close(left, (1 - 0.6**power) * x0)


def test_power_one_is_the_constant_function() -> None:
    phi = make_images()
    power, constant = PowerAttenuation(1), make_attenuation('constant')
    for t in (0.0, 0.4, 1.0):
        assert torch.equal(power.integral(phi, t), constant.integral(phi, t))
        assert torch.equal(power.rate(phi, t), constant.rate(phi, t))


def test_rate_of_the_sine_is_bounded_by_one() -> None:
    attenuation = SineAttenuation()
    phi = draw(attenuation, make_images(4, 3, 16, 16, limit=1.0))
    rates = torch.stack([attenuation.rate(phi, t / 20) for t in range(21)])
    assert rates.abs().max() <= 1


def test_sine_reaches_zero_for_every_draw_up_to_its_bound() -> None:
    bound = math.sin(0.5) / 0.5
    x0 = bound * make_images(1, 1, 100, 100, limit=1.0)
    attenuation = SineAttenuation()
    end = x0 + attenuation.integral(draw(attenuation, x0), 1.0)
    assert end.abs().max() < 1e-12


def test_error_of_the_sine_at_saturated_pixels_is_bounded() -> None:
    attenuation = SineAttenuation()
    a = torch.linspace(-1, 1, 21, dtype=torch.float64).view(1, 1, 1, 21)
    x0 = torch.linspace(-1, 1, 81, dtype=torch.float64).view(1, 1, 81, 1)
    x0, a = torch.broadcast_tensors(x0, a)
    missed = (x0 + attenuation.integral(attenuation.solve(x0, a), 1.0)).abs().max()
    assert missed.item() == pytest.approx(1 - math.sin(0.5) / 0.5)
    assert missed < 0.0415


def test_sine_stays_finite_where_the_drawn_parameter_is_zero() -> None:
    attenuation = SineAttenuation()
    phi = attenuation.solve(make_images(), torch.zeros(2, 3, 4, 4).double())
    assert attenuation.integral(phi, 0.5).isfinite().all()


@pytest.mark.parametrize(
    'kind', ['Constant', 'Linear', 'Quadratic', 'Exponential', 'SquareRoot', 'Sine']
)
def test_every_function_is_built_by_its_registered_name(kind: str) -> None:
    attenuation = build(ATTENUATIONS, dict(type=f'{kind}Attenuation', free_limit=0.5))
    assert type(attenuation).__name__ == f'{kind}Attenuation'
    assert attenuation.free_limit == 0.5


# The guide to user-defined attenuation functions.
PAGE = Path(__file__).parents[2] / 'docs/en/advanced_guides/custom_attenuation.md'
BLOCK = re.compile(r'```python\n# (\S+\.py)\n(.*?)```', re.DOTALL)


@pytest.fixture(scope='module')
def guide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """The guide's code blocks as importable files outside the package."""
    folder = tmp_path_factory.mktemp('my_project')
    files = {name: folder / name for name, _ in BLOCK.findall(PAGE.read_text())}
    for name, code in BLOCK.findall(PAGE.read_text()):
        files[name].write_text(code)

    known = dict(ATTENUATIONS.module_dict)
    sys.path.insert(0, str(folder))
    yield files
    sys.path.remove(str(folder))
    for name in set(ATTENUATIONS.module_dict) - set(known):
        ATTENUATIONS.module_dict.pop(name)
    for name in files:
        sys.modules.pop(Path(name).stem, None)


@pytest.fixture(params=['text_config.py', 'lazy_config.py'])
def guide_attenuation(guide: dict[str, Path], request) -> Attenuation:
    config = Config.fromfile(guide[request.param])
    return ADMProcess(**config.process).attenuation


def test_function_of_the_guide_is_built_from_both_styles_of_config(
    guide_attenuation: Attenuation,
) -> None:
    assert type(guide_attenuation).__name__ == 'RaisedCosineAttenuation'
    assert type(guide_attenuation).__module__ == 'my_attenuation'
    by_name = build(ATTENUATIONS, dict(type='RaisedCosineAttenuation'))
    assert type(by_name) is type(guide_attenuation)


def test_function_of_the_guide_has_the_properties(
    guide_attenuation: Attenuation,
) -> None:
    check_starts_at_the_image(guide_attenuation)
    check_ends_at_zero(guide_attenuation)
    check_rate_is_the_derivative(guide_attenuation)
    check_integral_is_the_quadrature(guide_attenuation, 0.7)


def test_function_of_the_guide_works_in_the_process(
    guide_attenuation: Attenuation,
) -> None:
    process = ADMProcess(guide_attenuation)
    x0, eps = make_images(), make_noise()
    phi = draw_phi(process, x0)
    x_t = process.diffuse(x0, phi, eps, 1.0)
    torch.testing.assert_close(process.step(x_t, phi, eps, 1.0, 1.0), x0)


def test_function_of_the_guide_is_as_short_as_promised(guide: dict[str, Path]) -> None:
    lines = guide['my_attenuation.py'].read_text().split('\n')
    code = [line for line in lines if line.strip()]
    assert len(code) <= 20


@pytest.mark.parametrize('limit', [2 * math.pi, 10.0, float('inf')])
def test_sine_with_a_too_large_limit_is_refused(limit: float) -> None:
    with pytest.raises(ValueError, match=f'free_limit={limit}'):
        SineAttenuation(free_limit=limit)
