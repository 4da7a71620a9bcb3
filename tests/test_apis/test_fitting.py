"""Fitting a sampler of few steps to a model of the box."""

import numpy as np
import pytest
import torch

from mmadm.apis import ADMInferencer, load_config
from mmadm.apis.fitting import Fitted, fit_sampler, use_fitted_sampler, write_sampler
from mmadm.diffusion import EqualStepGrid, FittedSampler, MultistepSampler
from mmadm.registry import SAMPLERS
from mmadm.utils import SampleNoise
from tests.conftest import draw_photo

FACES = 'configs/adm/small/adm_faces_small.py'


@pytest.fixture(scope='module')
def model() -> ADMInferencer:
    return ADMInferencer('adm_faces_small', device='cpu', show_progress=False)


@pytest.fixture(scope='module')
def result(model) -> Fitted:
    (result,) = fit_sampler(model, [3], number=2, fine_steps=12, iterations=8)
    return result


def test_fitted_steps_are_nearer_to_many_steps_also_from_new_noise(
    model, result
) -> None:
    """The reference draws its own noise and both samples."""
    assert result.fitted < 0.8 * result.deterministic
    network = model.model
    noise = SampleNoise(
        [7, 8], (network.state_channels, 32, 32), 'cpu', torch.float32
    )()

    def sample(sampler) -> torch.Tensor:
        return sampler(network.denoiser(None), network.process, lambda: noise)

    with torch.no_grad():
        many = sample(MultistepSampler(12))
        few = sample(FittedSampler([result.table]))
        plain = dict(type='ADMSampler', eta=0.0, correct=False, num_steps=3)
        before = sample(SAMPLERS.build(plain))
    assert (few - many).square().mean() < 0.8 * (before - many).square().mean()


def test_few_steps_are_equal_ones(model, result) -> None:
    """A last evaluation at t_min has little left to do."""
    grid = EqualStepGrid()(3, model.model.process)
    assert result.table['times'] == pytest.approx(grid[:-1].tolist())


def test_a_written_sampler_replaces_that_of_the_config(result, tmp_path) -> None:
    file = tmp_path / 'sampler.json'
    write_sampler(file, [result], clip=1.0)
    cfg = load_config(FACES)
    use_fitted_sampler(cfg, file)
    sampler = SAMPLERS.build(cfg.model.sampler)
    assert isinstance(sampler, FittedSampler)
    assert (sampler.num_steps, sampler.clip) == (3, 1.0)


def test_another_file_is_refused(tmp_path) -> None:
    file = tmp_path / 'sampler.json'
    file.write_text('{"type": "ADMSampler"}')
    with pytest.raises(ValueError, match='Not a fitted sampler'):
        use_fitted_sampler(load_config(FACES), file)


def test_holes_of_inpainting_are_part_of_the_condition() -> None:
    model = ADMInferencer('adm_inpaint_small', device='cpu', show_progress=False)
    photo, hole = draw_photo(0, 128, 128), np.zeros((128, 128), np.uint8)
    hole[:64] = 255
    few = dict(number=1, fine_steps=3, iterations=1)
    with pytest.raises(ValueError, match='mask'):
        next(fit_sampler(model, [2], [photo], **few))
    above, below = (
        next(fit_sampler(model, [2], [photo], masks=[mask], **few)).deterministic
        for mask in (hole, hole[::-1])
    )
    assert above != below


def test_an_unconditional_model_takes_no_images(model) -> None:
    hole = np.zeros((64, 64), np.uint8)
    for given in (dict(inputs=[draw_photo(0, 64, 64)]), dict(masks=[hole])):
        with pytest.raises(ValueError, match='unconditional'):
            next(fit_sampler(model, [2], number=1, **given))
