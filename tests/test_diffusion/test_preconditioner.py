"""The default scaling is linear regression of (phi, eps) on x_t, in closed form."""

import math

import pytest
import torch
from torch import Tensor

from mmadm.diffusion import (
    ADMProcess,
    Coefficients,
    LinearAttenuation,
    PowerAttenuation,
    Preconditioner,
    VPProcess,
)
from mmadm.diffusion.scalings import SCALINGS
from mmadm.registry import MODELS, build
from tests.oracles import (
    ATTENUATION_CONFIGS,
    NOISE_CONFIGS,
    NOISE_VARIANCE,
    draw_phi,
    make_images,
    make_noise,
    make_process,
)

TIMES = torch.tensor([1e-4, 1e-3, 0.1, 0.37, 0.8, 0.99, 1.0], dtype=torch.float64)
#: All but that of CLD, which test_cld.py has.
GENERAL = [name for name in SCALINGS if name != 'cld']
PUBLISHED = ['ddm_public', 'ddm_public_input_only', 'conditional', 'diffusion_edge']
every_sigma = pytest.mark.parametrize('sigma', [0.25, 0.5, 1.0, 2.0])
every_function = pytest.mark.parametrize('attenuation', ATTENUATION_CONFIGS)
every_noise = pytest.mark.parametrize('noise', NOISE_CONFIGS)
one_parameter = pytest.mark.parametrize(
    'attenuation', ['constant', 'power 2', 'power 1.5']
)


def check(c: Coefficients, **expected: Tensor) -> None:
    """Compare the named coefficients; a name with _squared means the square."""
    for name, value in expected.items():
        actual = getattr(c, name.removesuffix('_squared'))
        actual = actual**2 if name.endswith('_squared') else actual
        torch.testing.assert_close(actual, value, rtol=1e-6, atol=1e-12, msg=name)


# Closed forms.


@every_sigma
def test_constant_function_has_the_closed_form_of_the_design(sigma: float) -> None:
    t, variance = TIMES, sigma**2
    c = Preconditioner(sigma).coefficients(make_process(), t)
    d = (1 - t) ** 2 * variance + t
    check(
        c,
        c_in=d**-0.5,
        c_noise=t.log(),
        phi_skip=(-(1 - t) * variance / d)[:, None],
        phi_out_squared=(variance * t / d)[:, None],
        eps_skip=t.sqrt() / d,
        eps_out_squared=(1 - t) ** 2 * variance / d,
    )


@every_sigma
@every_noise
@pytest.mark.parametrize('power', [1.0, 1.5, 2.0, 3.0])
def test_one_parameter_functions_depend_on_the_remaining_fraction_of_the_image(
    sigma: float, noise: str, power: float
) -> None:
    t, variance = TIMES, sigma**2
    process = ADMProcess(PowerAttenuation(power), NOISE_CONFIGS[noise])
    c = Preconditioner(sigma).coefficients(process, t)
    left, b_squared = 1 - t**power, NOISE_VARIANCE[noise](t)
    d = left**2 * variance + b_squared
    check(
        c,
        c_in=d**-0.5,
        phi_skip=(-left * variance / d)[:, None],
        phi_out_squared=(variance * b_squared / d)[:, None],
        eps_skip=b_squared.sqrt() / d,
        eps_out_squared=left**2 * variance / d,
    )


@every_sigma
def test_variance_preserving_process_has_its_closed_form(sigma: float) -> None:
    t, process = TIMES, VPProcess()
    c = Preconditioner(sigma).coefficients(process, t)
    alpha_squared = torch.exp(-0.1 * t - 9.95 * t**2)
    d = alpha_squared * sigma**2 + 1 - alpha_squared
    check(
        c,
        c_in=d**-0.5,
        phi_skip=(-(alpha_squared**0.5) * sigma**2 / d)[:, None],
        phi_out_squared=(sigma**2 * (1 - alpha_squared) / d)[:, None],
        eps_skip=(1 - alpha_squared).sqrt() / d,
        eps_out_squared=alpha_squared * sigma**2 / d,
    )


def test_linear_function_has_the_closed_form_of_the_reference() -> None:
    t = TIMES
    process = make_process('linear')
    va = 0.516  # of a standard normal clipped to +-1, three digits
    assert process.attenuation.free_variance == pytest.approx(va, abs=5e-4)
    va = process.attenuation.free_variance

    c = Preconditioner(1.0).coefficients(process, t)
    v = (1 - t) ** 2 + va * (t**2 - t) ** 2 / 4 + t
    a_skip = va * (t**2 - t) / (2 * v)
    c_skip = -(1 - t + va * (t**2 - t) / 4) / v
    out_squared = [va - a_skip**2 * v, 1 + va / 4 - c_skip**2 * v]
    check(
        c,
        c_in=v**-0.5,
        phi_skip=torch.stack([a_skip, c_skip], dim=1),
        phi_out_squared=torch.stack(out_squared, dim=1),
        eps_skip=t.sqrt() / v,
        eps_out_squared=1 - t / v,
    )


def test_unit_data_give_the_best_pair_of_weights_of_the_paper() -> None:
    t = TIMES[:-1]
    c = Preconditioner(1.0).coefficients(make_process(), t)
    shared = t**2 - t + 1
    check(c, phi_out_squared=(t / shared)[:, None])
    check(c, eps_out_squared=(1 - t) ** 2 / shared)


# Independent check: least squares on simulated data.


def simulate(process: ADMProcess, x0: Tensor, t: float) -> tuple[Tensor, Tensor]:
    """x_t (count,) and all of (phi, eps) (count, P + 1), drawn as Alg. 1 does."""
    x0 = x0.view(-1, 1, 1, 1)
    eps, phi = make_noise(*x0.shape, seed=7), draw_phi(process, x0, seed=8)
    x_t = process.diffuse(x0, phi, eps, t)
    return x_t.flatten(), torch.cat([phi, eps], dim=1)[:, :, 0, 0]


def standardised(
    c: Coefficients, x_t: Tensor, unknown: Tensor
) -> tuple[Tensor, Tensor]:
    """Input of the network, and the outputs that it should learn."""
    skip = torch.cat([c.phi_skip[0], c.eps_skip])
    out = torch.cat([c.phi_out[0], c.eps_out])
    return c.c_in * x_t, (unknown - skip * x_t[:, None]) / out


@pytest.mark.parametrize(
    'attenuation', ['linear', 'quadratic', 'exponential', 'square root', 'power 2']
)
@every_noise
@pytest.mark.parametrize('t', [0.05, 0.5, 0.9])
def test_coefficients_are_the_least_squares_fit_to_data(
    attenuation: str, noise: str, t: float
) -> None:
    process = make_process(attenuation, noise)
    c = Preconditioner(0.5).coefficients(process, torch.tensor([t]))
    x_t, unknown = simulate(process, 0.5 * make_noise(200_000), t)

    skip = (unknown * x_t[:, None]).mean(0) / x_t.square().mean()
    out = (unknown - skip * x_t[:, None]).std(0)
    c_skip = torch.cat([c.phi_skip[0], c.eps_skip])
    c_out = torch.cat([c.phi_out[0], c.eps_out])
    torch.testing.assert_close(c_skip, skip, rtol=0.01, atol=0.01)
    torch.testing.assert_close(c_out, out, rtol=0.01, atol=0.003)
    assert c.c_in.item() == pytest.approx(1 / x_t.std().item(), rel=0.01)


@pytest.mark.parametrize(
    'attenuation', [name for name in ATTENUATION_CONFIGS if name != 'sine']
)
def test_input_and_ideal_outputs_have_unit_variance(attenuation: str) -> None:
    process = make_process(attenuation)
    c = Preconditioner(0.7).coefficients(process, torch.tensor([0.4]))
    seen, ideal = standardised(c, *simulate(process, 0.7 * make_noise(200_000), 0.4))
    assert seen.std().item() == pytest.approx(1, rel=0.01)
    assert ideal.std(0).tolist() == pytest.approx([1] * ideal.shape[1], rel=0.01)


@pytest.mark.parametrize('t', [0.05, 0.5, 0.9, 0.99])
def test_coefficients_of_the_sine_are_good_to_five_percent(t: float) -> None:
    # Its phi is not linear in x0, so the two-level design is an approximation; for
    # images within [-1, 1] inputs and targets still have nearly unit variance.
    process, sigma = make_process('sine'), 0.5
    c = Preconditioner(sigma).coefficients(process, torch.tensor([t]))
    images = make_images(200_000, limit=sigma * math.sqrt(3))
    seen, ideal = standardised(c, *simulate(process, images, t))
    assert seen.std().item() == pytest.approx(1, abs=0.01)
    assert ideal.std(0).tolist() == pytest.approx([1] * 3, abs=0.05)


# What the coefficients are used for.


class FixedNetwork:
    """A network with fixed raw outputs that records its input."""

    def __init__(self, *outputs: Tensor) -> None:
        self.outputs = outputs

    def __call__(self, x: Tensor, c_noise: Tensor) -> tuple[Tensor, ...]:
        self.inputs = x, c_noise
        return self.outputs


def outputs_for(process: ADMProcess) -> tuple[Tensor, Tensor]:
    params = process.attenuation.num_params
    return make_noise(2, 3 * params, 4, 4, seed=7), make_noise(seed=8)


@every_function
@every_noise
def test_network_gets_scaled_images_and_its_outputs_are_completed(
    attenuation: str, noise: str
) -> None:
    process, preconditioner = make_process(attenuation, noise), Preconditioner()
    x_t, t = make_noise(), torch.tensor([0.3, 0.9])
    network = FixedNetwork(*outputs_for(process))
    phi, eps = preconditioner(network, process, x_t, t)
    c = preconditioner.coefficients(process, t)

    for i in range(2):
        torch.testing.assert_close(network.inputs[0][i], c.c_in[i] * x_t[i])
        assert network.inputs[1][i].item() == pytest.approx(math.log(t[i]))
        raw_phi, raw_eps = (output[i] for output in network.outputs)
        expected = c.eps_skip[i] * x_t[i] + c.eps_out[i] * raw_eps
        torch.testing.assert_close(eps[i], expected)
        for p in range(process.attenuation.num_params):
            part = slice(3 * p, 3 * p + 3)
            expected = c.phi_skip[i, p] * x_t[i] + c.phi_out[i, p] * raw_phi[part]
            torch.testing.assert_close(phi[i, part], expected)


@pytest.mark.parametrize('scaling', GENERAL)
@pytest.mark.parametrize('predicts', ['phi_eps', 'phi', 'eps', 'velocity'])
def test_one_time_is_enough_for_all_images(scaling: str, predicts: str) -> None:
    process, x_t = make_process(), make_noise()
    preconditioner = Preconditioner(scaling=scaling, predicts=predicts)
    network = FixedNetwork(*outputs_for(process)[: len(predicts.split('_'))])
    shared = preconditioner(network, process, x_t, torch.tensor([0.4]))
    each = preconditioner(network, process, x_t, torch.tensor([0.4, 0.4]))
    for one, other in zip(shared, each, strict=True):
        torch.testing.assert_close(one, other)


def test_network_works_in_the_precision_of_its_input() -> None:
    process, x_t = make_process(), make_noise().float()
    network = FixedNetwork(*(output.float() for output in outputs_for(process)))
    phi, eps = Preconditioner()(network, process, x_t, torch.tensor([0.4, 0.5]))
    assert {part.dtype for part in (*network.inputs, phi, eps)} == {torch.float32}


@pytest.mark.parametrize('scaling', GENERAL)
def test_coefficients_are_float64_on_the_cpu(scaling: str) -> None:
    """Some devices have no float64; the numbers are few."""
    t = TIMES.float()
    c = Preconditioner(scaling=scaling).coefficients(make_process(), t)
    for value in vars(c).values():
        assert (value.dtype, value.device.type) == (torch.float64, 'cpu')
        assert len(value) == len(t)


def test_with_input_only_the_raw_outputs_are_phi_and_eps() -> None:
    process, x_t, t = make_process('linear'), make_noise(), torch.tensor([0.3, 0.9])
    network = FixedNetwork(*outputs_for(process))
    phi, eps = Preconditioner(scaling='input_only')(network, process, x_t, t)
    torch.testing.assert_close(phi, network.outputs[0])
    torch.testing.assert_close(eps, network.outputs[1])
    c_in = Preconditioner().coefficients(process, t).c_in
    torch.testing.assert_close(network.inputs[0], c_in.view(2, 1, 1, 1) * x_t)
    torch.testing.assert_close(network.inputs[1], t.double().log())


# One decoder.


def check_agrees_with_equation_7(
    process: ADMProcess, phi: Tensor, eps: Tensor, x_t: Tensor, t: Tensor
) -> None:
    image = process.image(phi)
    torch.testing.assert_close(process.diffuse(image, phi, eps, t), x_t)


@every_function
@every_noise
def test_eps_follows_from_predicted_phi_by_equation_7(
    attenuation: str, noise: str
) -> None:
    process = make_process(attenuation, noise)
    x_t, t = make_noise(), torch.tensor([0.3, 1.0]).double()
    raw, _ = outputs_for(process)
    phi, eps = Preconditioner(predicts='phi')(FixedNetwork(raw), process, x_t, t)
    check_agrees_with_equation_7(process, phi, eps, x_t, t)
    two, _ = Preconditioner()(FixedNetwork(*outputs_for(process)), process, x_t, t)
    assert torch.equal(phi, two)


@one_parameter
@every_noise
def test_phi_follows_from_predicted_eps_by_equation_7(
    attenuation: str, noise: str
) -> None:
    process = make_process(attenuation, noise)
    x_t, t = make_noise(), torch.tensor([0.3, 0.999]).double()
    _, raw = outputs_for(process)
    phi, eps = Preconditioner(predicts='eps')(FixedNetwork(raw), process, x_t, t)
    check_agrees_with_equation_7(process, phi, eps, x_t, t)
    _, two = Preconditioner()(FixedNetwork(*outputs_for(process)), process, x_t, t)
    assert torch.equal(eps, two)


def test_single_decoders_agree_with_the_variance_preserving_process() -> None:
    process, x_t = VPProcess(), make_noise()
    t = torch.tensor([0.3, 1.0]).double()
    for predicts in ('phi', 'eps'):
        network = FixedNetwork(make_noise(seed=7))
        phi, eps = Preconditioner(predicts=predicts)(network, process, x_t, t)
        check_agrees_with_equation_7(process, phi, eps, x_t, t)


def test_phi_from_eps_divides_by_no_less_than_the_smallest_time() -> None:
    process, x_t = make_process(t_min=0.01), make_noise()
    network = FixedNetwork(make_noise(seed=8))
    phi, eps = Preconditioner(predicts='eps')(network, process, x_t, torch.ones(2))
    torch.testing.assert_close(phi, -(x_t - eps) / 0.01)


@pytest.mark.parametrize('attenuation', ['linear', 'quadratic', 'sine'])
def test_drawn_parameters_do_not_follow_from_eps(attenuation: str) -> None:
    process, x_t = make_process(attenuation), make_noise()
    network = FixedNetwork(make_noise(seed=8))
    with pytest.raises(ValueError, match=type(process.attenuation).__name__):
        Preconditioner(predicts='eps')(network, process, x_t, torch.ones(2))


# Published scalings; the golden tests of the heads hold their numbers.


@pytest.mark.parametrize('scaling', ['ddm_public', 'conditional', 'diffusion_edge'])
def test_at_time_one_eps_is_the_input_and_phi_the_output(scaling: str) -> None:
    c = Preconditioner(scaling=scaling).coefficients(ADMProcess(), torch.ones(1))
    assert (c.phi_skip.item(), c.eps_skip.item(), c.eps_out.item()) == (0, 1, 0)
    assert c.phi_out.item() == pytest.approx(0.5**0.5)


@pytest.mark.parametrize('scaling', GENERAL)
def test_every_scaling_works_with_one_decoder(scaling: str) -> None:
    process, x_t = ADMProcess(), make_noise().float()
    t = torch.tensor([0.2, 0.9])
    preconditioner = Preconditioner(scaling=scaling, predicts='phi')
    phi, eps = preconditioner(lambda x, c_noise: (x.tanh(),), process, x_t, t)
    check_agrees_with_equation_7(process, phi, eps, x_t, t)
    c = preconditioner.coefficients(process, t)
    c_in, c_skip, c_out = (
        value.float().view(2, 1, 1, 1) for value in (c.c_in, c.phi_skip, c.phi_out)
    )
    expected = c_skip * x_t + c_out * (c_in * x_t).tanh()
    torch.testing.assert_close(phi, expected)


@pytest.mark.parametrize('scaling', PUBLISHED)
def test_published_scalings_refuse_more_parameters(scaling: str) -> None:
    process = ADMProcess(attenuation=dict(type=LinearAttenuation))
    with pytest.raises(ValueError, match=r'one .*LinearAttenuation has 2\. Use Const'):
        Preconditioner(scaling=scaling).coefficients(process, torch.ones(1))


@pytest.mark.parametrize('scaling', PUBLISHED)
def test_published_scalings_refuse_another_deviation(scaling: str) -> None:
    assert Preconditioner(scaling=scaling).sigma_data == 1
    with pytest.raises(ValueError, match=rf"'{scaling}' is for .* sigma_data=0\.5"):
        Preconditioner(0.5, scaling)


# Arguments.


@pytest.mark.parametrize('sigma', [0, -0.5, math.nan])
def test_deviation_that_is_not_positive_is_an_error(sigma: float) -> None:
    with pytest.raises(ValueError, match=f'sigma_data={sigma}'):
        Preconditioner(sigma)


def test_preconditioner_is_built_from_a_text_config() -> None:
    built = build(MODELS, dict(type='Preconditioner', predicts='eps'))
    assert type(built) is Preconditioner
    assert (built.sigma_data, built.predicts) == (0.5, 'eps')


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('scaling', r"scaling='adm'.*'conditional', 'ddm_public'"),
        ('predicts', r"predicts='adm'.*'eps', 'phi', 'phi_eps', 'velocity', "),
    ],
)
def test_unknown_names_are_refused_with_the_known_ones(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Preconditioner(**{name: 'adm'})


@pytest.mark.parametrize('t', [0.0, 5e-5, 1.0001, float('nan')])
def test_networks_are_not_evaluated_at_times_without_training(t: float) -> None:
    def network(x, c_noise):
        raise AssertionError('evaluated')

    x_t, process = torch.zeros(1, 1, 2, 2), ADMProcess(t_min=1e-4)
    with pytest.raises(ValueError, match=r'from t_min=0\.0001 to 1, but t=\['):
        Preconditioner()(network, process, x_t, torch.tensor([t]))


@pytest.mark.parametrize(
    ('predicts', 'attenuation', 'widths', 'message'),
    [
        ('phi_eps', 'constant', (3,), r'phi and eps of \(3, 3\).*have \(3,\)'),
        ('phi', 'constant', (3, 3), r'phi of \(3,\).*have \(3, 3\)'),
        ('eps', 'constant', (1,), r'eps of \(3,\).*have \(1,\)'),
        ('phi_eps', 'constant', (3, 1), r'of \(3, 3\).*have \(3, 1\)'),
        ('phi_eps', 'linear', (3, 3), r'LinearAttenuation.*of \(6, 3\).*\(3, 3\)'),
    ],
)
def test_outputs_of_another_head_are_refused_with_both_sides(
    predicts: str, attenuation: str, widths: tuple, message: str
) -> None:
    network = FixedNetwork(*(torch.zeros(2, width, 4, 4) for width in widths))
    process, x_t = make_process(attenuation), torch.zeros(2, 3, 4, 4)
    with pytest.raises(ValueError, match=message):
        Preconditioner(predicts=predicts)(network, process, x_t, torch.tensor([0.5]))
