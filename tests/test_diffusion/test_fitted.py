"""The fitted sampler: exact for a perfect denoiser, and better than it began."""

import pytest
import torch
from torch import Tensor

from mmadm.diffusion import ADMSampler, FittedSampler, MultistepSampler, UniformGrid
from mmadm.diffusion.fitted import fit
from mmadm.registry import SAMPLERS, build
from tests.oracles import (
    NoiseStream,
    PerfectDenoiser,
    make_images,
    make_noise,
    make_process,
)


def random_table(num_steps: int, seed: int = 0) -> dict:
    """Coefficients that nobody fitted."""
    generator = torch.Generator().manual_seed(seed)

    def rows() -> list[list[float]]:
        lengths = [min(i, 2) for i in range(num_steps)]
        return [torch.randn(n, generator=generator).tolist() for n in lengths]

    times = [1 - i / num_steps for i in range(num_steps)]
    mix = torch.randn(num_steps, generator=generator).tolist()
    return dict(times=times, phi=rows(), eps=rows(), mix=mix)


class Mixture:
    """E[phi | x_t] and E[eps | x_t] for two images, as if no others existed."""

    def __init__(self, process, images: Tensor) -> None:
        self.process, self.images = process, images

    def __call__(self, x_t: Tensor, t: float) -> tuple[Tensor, Tensor]:
        b = self.process.noise_level(t)
        means = (1 - t) * self.images
        distances = (x_t[:, None] - means).square().flatten(2).sum(2)
        weights = (-distances / (2 * b**2)).softmax(1)
        x0 = torch.einsum('nm,mchw->nchw', weights, self.images)
        return -x0, (x_t - (1 - t) * x0) / b


@pytest.mark.parametrize('num_steps', [1, 2, 5])
@pytest.mark.parametrize('attenuation', ['constant', 'linear', 'power 2'])
@pytest.mark.parametrize('noise', ['wiener', 'linear'])
def test_any_coefficients_recover_the_image_with_a_perfect_denoiser(
    num_steps: int, attenuation: str, noise: str
) -> None:
    process, x0 = make_process(attenuation, noise), make_images()
    sampler = FittedSampler([random_table(num_steps)])
    denoise = PerfectDenoiser(process, x0)
    torch.testing.assert_close(sampler(denoise, process, NoiseStream()), x0)
    assert len(denoise.times) == num_steps


def test_without_fit_it_is_the_deterministic_sampler() -> None:
    process = make_process()
    denoise = Mixture(process, make_images(2, 3, 4, 4))
    times = UniformGrid()(4, process).tolist()[:-1]
    zeros = [[0.0] * min(i, 2) for i in range(4)]
    table = dict(times=times, phi=zeros, eps=zeros, mix=[0.0] * 4)
    expected = ADMSampler(4, eta=0.0, correct=False)(denoise, process, NoiseStream())
    found = FittedSampler([table])(denoise, process, NoiseStream())
    torch.testing.assert_close(found, expected)


def test_the_fit_leads_to_the_images_of_many_steps_also_from_new_noise() -> None:
    process = make_process()
    denoise = Mixture(process, make_images(3, 1, 3, 3, limit=1.0))
    fine = MultistepSampler(60)

    def errors(sampler) -> float:
        x_1 = make_noise(64, 1, 3, 3, seed=9)
        target = fine(denoise, process, lambda: x_1)
        images = sampler(denoise, process, lambda: x_1)
        return (images - target).square().mean().item()

    x_1 = make_noise(128, 1, 3, 3, seed=5)
    target = fine(denoise, process, lambda: x_1)
    table, error = fit(process, denoise, x_1, target, UniformGrid(), 3, iterations=80)
    fitted = FittedSampler([table])
    assert errors(fitted) < 0.7 * errors(ADMSampler(3, eta=0.0, correct=False))
    assert errors(fitted) == pytest.approx(error, rel=0.5)


def test_it_is_built_from_a_text_config_and_chooses_the_table_by_steps() -> None:
    tables = [random_table(3), random_table(5)]
    sampler = build(SAMPLERS, dict(type='FittedSampler', tables=tables))
    process = make_process()
    assert sampler.num_steps == 3
    assert sampler.times(process, 5) == [*tables[1]['times'], 0.0]
    with pytest.raises(ValueError, match=r'fitted for \[3, 5\] steps, .*num_steps=4'):
        sampler.times(process, 4)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(mix=[0.0]), 'one entry per step'),
        (dict(times=[1.0, 0.5, 0.7]), 'must decrease strictly'),
        (dict(phi=[[1.0], [], []]), 'Step 0 has 0 earlier predictions'),
    ],
)
def test_coefficients_that_do_not_fit_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FittedSampler([random_table(3) | change])
    with pytest.raises(ValueError, match='tables is empty'):
        FittedSampler([])
