"""Wrong requests end in one message, before any work."""

import numpy as np
import pytest
import torch

from mmadm.apis import ADMInferencer
from mmadm.registry import MODELS
from tests.conftest import draw_photo

from .conftest import save_images


def test_all_images_are_checked_before_the_first_prediction(toy, tmp_path):
    folder = save_images(tmp_path / 'in', {'a': draw_photo(0, 8, 8)})
    (folder / 'b.png').write_bytes((folder / 'a.png').read_bytes()[:60])
    with pytest.raises(ValueError, match=r'Broken image file: .*b\.png.*Replace'):
        toy(folder, out_dir=tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    'request_, message',
    [
        (dict(), 'no image is given. Give inputs'),
        (dict(inputs=[]), 'list is empty'),
        (dict(inputs='no/such.png'), r'Image not found: no/such\.png'),
        (dict(inputs=np.full((4, 4), 2.0)), 'Not an image: an array of float64'),
        (dict(inputs=draw_photo(0, 8, 8), masks=np.ones((8, 8))), 'not for inpainting'),
        (dict(inputs=draw_photo(0, 8, 8), num_samples=0), 'got num_samples=0'),
        (dict(inputs=draw_photo(0, 8, 8), num_steps=0), 'must be positive'),
        (dict(inputs=draw_photo(0, 8, 8), num_steps='a'), r"but got \['a'\]"),
        (dict(inputs=draw_photo(0, 8, 8), num_steps=2.5), r'but got \[2\.5\]'),
        (dict(inputs=draw_photo(0, 8, 8), batch_size=0), 'got batch_size=0'),
        (dict(inputs=draw_photo(0, 8, 8), batch_size='a'), "got batch_size='a'"),
        (dict(inputs=draw_photo(0, 8, 8), seed='a'), "got seed='a'"),
        (dict(inputs=draw_photo(0, 8, 8), steps=5), r"Unknown arg.*\['steps'\]"),
        (dict(inputs=draw_photo(0, 8, 8), output_type='pt'), "output_type='pt'. Use"),
        (dict(inputs=draw_photo(0, 8, 8), output_type='file'), 'Give out_dir'),
        (dict(inputs=draw_photo(0, 8, 8), mode='tile'), "Unknown mode='tile'"),
        (dict(inputs=draw_photo(0, 8, 8), mode='whole', window=8), 'has no windows'),
        (dict(inputs=draw_photo(0, 8, 8), window=2), 'got window=2'),
    ],
)
def test_wrong_requests_are_refused_with_the_reason(toy, request_, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        toy(**request_)


@pytest.fixture
def no_model_is_built(monkeypatch):
    monkeypatch.setattr(MODELS, 'build', lambda cfg: pytest.fail('a model was built'))


@pytest.mark.parametrize(
    'model, weights, message',
    [
        ('adm_sr_dmeo', 'x.pth', r"Unknown model: 'adm_sr_dmeo'.*'adm_sr_demo'"),
        ('adm_sr_demo', None, 'weights=None'),
        ('adm_sr_demo', 'no/such.pth', r'Checkpoint not found: no/such\.pth'),
        ('no/such.py', 'x.pth', r'Config not found: no/such\.py'),
        ('kl_f4_demo', 'some.pth', 'the test of a diffusion model'),
        (None, 'x.pth', 'got model=None'),
        (dict(), 'some.pth', 'model.type=None'),
        (dict(model=dict(type='ADM', head={})), 'some.pth', 'test_dataloader'),
    ],
)
def test_mistakes_are_reported_before_the_model_is_built(
    no_model_is_built, tmp_path, monkeypatch, model, weights, message
):
    monkeypatch.chdir(tmp_path)
    torch.save(dict(state_dict=dict(a=torch.zeros(1))), 'some.pth')
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        ADMInferencer(model, weights, 'cpu')


@pytest.mark.parametrize('device', ['foo', 'cuda:99', 'mps', 'meta', ''])
def test_a_missing_device_is_refused(no_model_is_built, device):
    if device == 'mps' and torch.backends.mps.is_available():
        pytest.skip('this machine has the device')
    with pytest.raises(ValueError, match=f"not available: '{device}'.*: cpu"):
        ADMInferencer('adm_sr_demo', 'x.pth', device)


def test_weights_of_another_config_are_refused(toy, tmp_path):
    torch.save(dict(state_dict=toy.model.state_dict()), tmp_path / 'toy.pth')
    with pytest.raises(ValueError, match=r'does not fit the model.*Use the config'):
        ADMInferencer('adm_sr_demo', tmp_path / 'toy.pth', 'cpu')
