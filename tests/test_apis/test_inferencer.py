"""Answers of the inferencer: for each task those of the test."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from PIL import Image

from mmadm.apis import ADMInferencer, load_config
from mmadm.registry import DATASETS, MODELS
from mmadm.utils import enlarge
from tests.conftest import draw_photo
from tests.test_configs.test_tasks import narrow, task_of
from tests.test_tools.test_cli import call

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'adm'


def save_weights(cfg, path: Path) -> Path:
    """A model of the config with weights that answer something."""
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1 and not name.startswith('first_stage'):
            torch.nn.init.normal_(parameter, std=0.1)
    torch.save(dict(state_dict=model.state_dict()), path)
    return path


def to_array(image: torch.Tensor) -> np.ndarray:
    """(C, H, W) to (H, W, 3) or (H, W)."""
    array = image.numpy().transpose(1, 2, 0)
    return array[..., 0] if array.shape[2] == 1 else array


def save_images(folder: Path, pictures: dict[str, np.ndarray]) -> Path:
    folder.mkdir()
    for name, picture in pictures.items():
        Image.fromarray(picture).save(folder / f'{name}.png')
    return folder


@pytest.fixture(scope='module')
def toy(tmp_path_factory) -> ADMInferencer:
    """Super-resolution by a narrow network."""
    cfg = load_config(str(CONFIGS / 'adm_sr_demo.py'))
    cfg.model.condition_encoder.update(channels=(8, 16))
    cfg.model.head.update(base_channels=8, condition_channels=(8, 16))
    weights = save_weights(cfg, tmp_path_factory.mktemp('toy') / 'toy.pth')
    return ADMInferencer(cfg, weights, 'cpu', show_progress=False)


def given(dataset, samples, folder: Path) -> dict:
    """What a user would have of the test's samples."""
    if 'condition' not in samples[0]:
        return dict(num_samples=len(samples))
    if 'mask' in samples[0]:
        names = [Path(sample.img_path).stem for sample in samples]
        masks = [to_array(sample.mask) * 255 for sample in samples]
        save_images(folder, dict(zip(names, masks)))
        pictures = Path(dataset.data_prefix['img_path'])
        return dict(inputs=pictures, masks=folder)
    return dict(inputs=[sample.img_path for sample in samples])


@pytest.mark.parametrize(
    'name',
    [
        'adm_uncond_cifar10_toy',
        'adm_inpaint_toy',
        'adm_saliency_toy',
        'adm_edge_toy',
    ],
)
def test_the_answer_is_that_of_the_test(name, tmp_path, monkeypatch):
    (tmp_path / 'data').mkdir()
    task_of(name)[0](tmp_path / 'data', None)
    monkeypatch.chdir(tmp_path)
    cfg = load_config(str(CONFIGS / f'{name}.py'))
    narrow(cfg)
    weights = save_weights(cfg, tmp_path / 'toy.pth')
    inferencer = ADMInferencer(cfg, weights, 'cpu', show_progress=False)

    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    data = [dataset[i] for i in range(len(dataset))]
    samples = [inferencer.model.test_step(pseudo_collate([item]))[0] for item in data]
    # Here the data of the benchmark are not needed.
    request = given(dataset, samples, tmp_path / 'masks')
    if 'mask' in samples[0]:
        (tmp_path / 'data' / 'celeba_hq' / 'masks').rename(tmp_path / 'elsewhere')

    answers = inferencer(**request, batch_size=2)['predictions']
    assert len(answers) == len(samples)
    for answer, sample in zip(answers, samples):
        truth = sample.get('gt_img', sample.pred_img)
        expected = to_array(enlarge(sample.pred_img, truth.shape[-2:]))
        assert answer.shape == expected.shape
        # Batches differ by rounding.
        assert np.abs(answer.astype(int) - expected).max() <= 1
        assert answer.std() > 1


def test_a_folder_goes_in_and_out_as_with_the_tool(toy_config, tmp_path):
    cfg = load_config(str(toy_config))
    weights = save_weights(cfg, tmp_path / 'toy.pth')
    options = ('--out-item', 'pred', '--work-dir', tmp_path / 'w', '--num-steps', 2)
    call('test.py', toy_config, weights, *options, '--out', tmp_path / 'tool')

    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    samples = [dataset[i]['data_samples'] for i in range(len(dataset))]
    small = {Path(s.img_path).stem: to_array(s.condition) for s in samples}
    folder = save_images(tmp_path / 'small', small)
    inferencer = ADMInferencer(str(toy_config), weights, 'cpu')
    results = inferencer(folder, num_steps=2, out_dir=tmp_path / 'out')
    for path, answer in zip(
        sorted((tmp_path / 'tool').iterdir()), results['predictions']
    ):
        written = tmp_path / 'out' / 'pred' / path.name
        assert np.array_equal(np.asarray(Image.open(path)), answer)
        assert np.array_equal(np.asarray(Image.open(written)), answer)
    names = sorted(path.name for path in (tmp_path / 'out' / 'vis').iterdir())
    assert names == [f'{name}.png' for name in sorted(small)]


def test_the_picture_follows_from_seed_and_place(toy):
    pictures = [draw_photo(0, 8, 12)] * 3
    answers = toy(pictures, seed=5)['predictions']
    assert not np.array_equal(answers[0], answers[1])
    for batch_size in (1, 2, 3):
        again = toy(pictures, seed=5, batch_size=batch_size)['predictions']
        assert np.abs(np.subtract(answers, again, dtype=int)).max() <= 1
    alone = toy(pictures[0], seed=6)['predictions'][0]
    assert np.abs(np.subtract(answers[1], alone, dtype=int)).max() <= 1


@pytest.mark.parametrize(
    'options, calls',
    [(dict(), 5), (dict(num_steps=3), 3), (dict(num_steps=1, trajectory=True), 1)],
)
def test_an_answer_takes_so_many_calls(toy, options, calls):
    seen = []
    hook = toy.model.head.register_forward_hook(lambda *_: seen.append(1))
    toy(draw_photo(0, 8, 8), **options)
    hook.remove()
    assert len(seen) == calls


def test_options_hold_for_one_call(toy):
    picture = draw_photo(0, 8, 8)
    plain = toy(picture)['predictions'][0]
    other = toy(picture, sampler='deterministic', num_steps=2, seed=1)['predictions'][0]
    assert not np.array_equal(plain, other)
    with pytest.raises(ValueError, match='Unknown sampler'):
        toy(picture, num_steps=2, sampler='ddim')
    assert np.array_equal(toy(picture)['predictions'][0], plain)


def test_the_trajectory_ends_in_the_answer(toy):
    pictures = [draw_photo(i, 8, 8) for i in range(2)]
    watched = toy(pictures, num_steps=3, trajectory=True, batch_size=2)
    plain = toy(pictures, num_steps=3)
    assert np.array_equal(watched['predictions'], plain['predictions'])
    # Three columns of 32 pixels, two rows with a line of text each.
    assert [way.shape for way in watched['trajectory']] == [(112, 104, 3)] * 2
    for way, answer in zip(watched['trajectory'], plain['predictions']):
        assert np.array_equal(way[-32:, -32:], answer)
    assert 'trajectory' not in plain


def test_samples_are_given_on_request(toy):
    (sample,) = toy(draw_photo(0, 8, 12), return_datasamples=True)['predictions']
    assert sample.pred_img.shape == (3, 32, 48)
    assert 'gt_img' not in sample and sample.ori_shape == (32, 48)


def test_all_pictures_are_looked_at_before_the_first_is_answered(toy, tmp_path):
    folder = save_images(tmp_path / 'in', {'a': draw_photo(0, 8, 8)})
    (folder / 'b.png').write_bytes((folder / 'a.png').read_bytes()[:60])
    with pytest.raises(ValueError, match=r'Broken image file: .*b\.png.*Replace'):
        toy(folder, out_dir=tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    'request_, message',
    [
        (dict(), 'no picture is given. Give inputs'),
        (dict(inputs=[]), 'empty list'),
        (dict(inputs='no/such.png'), r'Picture not found: no/such\.png'),
        (dict(inputs=np.zeros((4, 4))), 'Not a picture: an array of float64'),
        (dict(inputs=draw_photo(0, 8, 8), masks=np.ones((8, 8))), 'does not fill'),
        (dict(inputs=draw_photo(0, 8, 8), num_samples=2), 'num_samples=2 is given'),
        (dict(inputs=draw_photo(0, 8, 8), num_steps=0), 'must be positive'),
        (dict(inputs=draw_photo(0, 8, 8), batch_size=0), 'batch_size=0'),
        (dict(inputs=draw_photo(0, 8, 8), steps=5), "unknown argument {'steps'}"),
    ],
)
def test_what_cannot_be_answered_is_said(toy, request_, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        toy(**request_)


@pytest.fixture
def nothing_is_built(monkeypatch):
    monkeypatch.setattr(MODELS, 'build', lambda cfg: pytest.fail('a model was built'))


@pytest.mark.parametrize(
    'model, weights, message',
    [
        ('adm_sr_dmeo', 'x.pth', r"Unknown model: 'adm_sr_dmeo'.*'adm_sr_demo'"),
        ('adm_sr_demo', None, 'weights=None'),
        ('adm_sr_demo', 'no/such.pth', r'Checkpoint not found: no/such\.pth'),
        ('no/such.py', 'x.pth', r'Config not found: no/such\.py'),
        ('kl_f4_demo', 'x.pth', 'in the test of a diffusion model'),
        (dict(model=dict(type='ADM', head={})), 'x.pth', 'test_dataloader'),
    ],
)
def test_mistakes_are_noticed_before_the_model_is_built(
    nothing_is_built, model, weights, message
):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        ADMInferencer(model, weights, 'cpu')


def test_weights_of_another_config_are_refused(toy, tmp_path):
    torch.save(dict(state_dict=toy.model.state_dict()), tmp_path / 'toy.pth')
    with pytest.raises(ValueError, match=r'does not fit the model.*Use the config'):
        ADMInferencer('adm_sr_demo', tmp_path / 'toy.pth', 'cpu')


def test_unconditional_models_take_no_pictures(tmp_path):
    cfg = load_config(str(CONFIGS / 'adm_uncond_cifar10_toy.py'))
    narrow(cfg)
    weights = save_weights(cfg, tmp_path / 'toy.pth')
    inferencer = ADMInferencer(cfg, weights, 'cpu', show_progress=False)
    with pytest.raises(ValueError, match=r'out of nothing.*num_samples'):
        inferencer(draw_photo(0, 8, 8))
    inferencer(num_samples=2, out_dir=tmp_path / 'out')
    names = [path.name for path in (tmp_path / 'out' / 'pred').iterdir()]
    assert sorted(names) == ['000000.png', '000001.png']
