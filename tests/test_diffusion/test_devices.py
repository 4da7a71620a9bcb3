"""On a device without float64 nothing of it is computed there; the meta device stands
in for one."""

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mmadm.diffusion import (
    ADMSampler,
    EulerMaruyamaSampler,
    MultistepSampler,
    OptimalWeighting,
    Preconditioner,
    TimeWeighting,
    encode,
    log_likelihood,
    process,
    rademacher,
)
from mmadm.structures import DiffusionSample
from tests.oracles import ATTENUATION_CONFIGS, make_process
from tests.test_models.test_adm import make_model

every_function = pytest.mark.parametrize('attenuation', ATTENUATION_CONFIGS)
SHAPE = (2, 3, 4, 4)


class NoFloat64(TorchDispatchMode):
    """Fails where an operation has a float64 result on the meta device."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        results = func(*args, **(kwargs or {}))
        for x in tree_leaves(results):
            if isinstance(x, Tensor) and x.device.type == 'meta':
                assert x.dtype != torch.float64, func
        return results


@pytest.fixture(autouse=True)
def without_float64(monkeypatch):
    monkeypatch.setattr(process, 'DEVICES_WITHOUT_FLOAT64', {'meta'})
    with NoFloat64():
        yield


def noise(shape=SHAPE[1:]) -> Tensor:
    return torch.empty(SHAPE[0], *shape, device='meta')


def make_denoiser(adm):
    params = adm.attenuation.num_params

    def network(x, c_noise):
        assert c_noise.device.type == 'meta'
        return torch.cat([x] * params, dim=1), x

    def denoise(x_t, t):
        return Preconditioner()(network, adm, x_t, torch.tensor([t]))

    return denoise


def test_the_stand_in_finds_float64():
    with pytest.raises(AssertionError, match='_to_copy'):
        noise().double()


@every_function
@pytest.mark.parametrize(
    'sampler',
    [
        ADMSampler(3),
        EulerMaruyamaSampler(3),
        MultistepSampler(4, order=3, eta=0.5),
        MultistepSampler(4, variable='log_snr'),
    ],
    ids=['ADM', 'Euler-Maruyama', 'multistep', 'log-SNR'],
)
def test_sampling_needs_no_float64(sampler, attenuation):
    adm = make_process(attenuation)
    image = sampler(make_denoiser(adm), adm, noise)
    assert (image.dtype, image.device.type) == (torch.float32, 'meta')


@every_function
def test_training_needs_no_float64(attenuation):
    adm, t = make_process(attenuation), torch.tensor([0.2, 0.7])
    x0 = noise()
    phi = adm.target(x0, noise)
    x_t = adm.diffuse(x0, phi, noise(), t)
    assert adm.denoised(x_t, phi, noise(), t).dtype == torch.float32
    for times in (t, torch.tensor([0.3])):
        phi, _ = make_denoiser(adm)(x_t, float(times[0]))
        assert phi.dtype == torch.float32
    c = Preconditioner().coefficients(adm, t)
    for weighting in (TimeWeighting(), OptimalWeighting()):
        assert all(weight.device.type == 'cpu' for weight in weighting(t, c))


def test_inversion_and_likelihood_need_no_float64():
    adm = make_process()
    denoise = make_denoiser(adm)
    x_1 = encode(MultistepSampler(4), denoise, adm, noise())
    assert x_1.dtype == torch.float32
    probes = rademacher(noise(), seeds=[0, 1])
    assert log_likelihood(denoise, adm, noise(), 2, probes).dtype == torch.float32
    assert log_likelihood(denoise, adm, noise(), 2).dtype == torch.float32


@pytest.mark.parametrize('mode', ['whole', 'slide', 'slide_chains'])
def test_a_model_samples_and_trains_without_float64(mode):
    windows = {} if mode == 'whole' else dict(crop=8, stride=4)
    model = make_model(test_cfg=dict(mode=mode, num_steps=2, **windows)).to('meta')
    image = torch.empty(1, 3, 16, 16, device='meta')
    samples = [DiffusionSample(metainfo=dict(sample_idx=0))]
    with torch.no_grad():
        assert model.sample((16, 16), samples, image).dtype == torch.float32
    losses = model.loss(image, image, samples)
    assert {loss.dtype for loss in losses.values()} == {torch.float32}
