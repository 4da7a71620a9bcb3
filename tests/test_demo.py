"""The scripts of the demo, as people call them."""

import importlib.util
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmadm.apis import ADMInferencer, load_config
from mmadm.models.inference import make_inference
from tests.conftest import draw_photo
from tests.test_apis.test_inferencer import save_images, save_weights
from tests.test_configs.test_tasks import narrow

ROOT = Path(__file__).parent.parent
CONFIGS = ROOT / 'configs' / 'adm'


@pytest.fixture
def call(monkeypatch):
    """Run a demo with a command line."""

    def run(script: str, *args) -> None:
        monkeypatch.setattr(sys, 'argv', [script, *map(str, args)])
        runpy.run_path(str(ROOT / 'demo' / script), run_name='__main__')

    return run


@pytest.fixture
def refused(call, capsys):
    """What a demo says before it exits with code 1."""

    def run(script: str, *args) -> str:
        with pytest.raises(SystemExit) as exit_info:
            call(script, *args)
        assert exit_info.value.code == 1
        return capsys.readouterr().err

    return run


def trained(name: str, folder: Path) -> tuple[Path, Path]:
    """A narrow config, written down, and weights of it."""
    cfg = load_config(str(CONFIGS / f'{name}.py'))
    narrow(cfg)
    cfg.dump(folder / 'narrow.py')
    return folder / 'narrow.py', save_weights(cfg, folder / 'toy.pth')


def test_holes_are_filled(call, tmp_path):
    config, weights = trained('adm_inpaint_toy', tmp_path)
    pictures = {name: draw_photo(i, 32, 40) for i, name in enumerate('ab')}
    mask = np.zeros((32, 40), np.uint8)
    mask[8:20, 4:30] = 255
    folder = save_images(tmp_path / 'in', pictures)
    masks = save_images(tmp_path / 'masks', dict.fromkeys(pictures, mask))
    options = ('--weights', weights, '--out-dir', tmp_path / 'out', '--trajectory')
    call('image_demo.py', folder, config, *options, '--masks', masks, '--num-steps', 1)
    for name, picture in pictures.items():
        answer = np.asarray(Image.open(tmp_path / 'out' / 'pred' / f'{name}.png'))
        changed = (answer != picture).any(axis=2)
        assert not changed[mask == 0].any() and changed[mask == 255].mean() > 0.9
    for kind in ('vis', 'trajectory'):
        files = sorted(path.name for path in (tmp_path / 'out' / kind).iterdir())
        assert files == ['a.png', 'b.png']


def test_pictures_are_drawn(call, refused, tmp_path):
    config, weights = trained('adm_uncond_cifar10_toy', tmp_path)
    options = ('--weights', weights, '--out-dir', tmp_path / 'out')
    call('image_demo.py', 3, config, *options, '--batch-size', 2, '--seed', 4)
    assert len(list((tmp_path / 'out' / 'pred').iterdir())) == 3
    assert "'photo.png'. Give the number" in refused(
        'image_demo.py', 'photo.png', config, *options
    )


def test_mistakes_end_with_one_message(refused, tmp_path):
    options = ('--weights', 'no/such.pth', '--out-dir', tmp_path)
    message = refused('image_demo.py', 'photo.png', 'adm_sr_demo', *options)
    assert 'Checkpoint not found: no/such.pth' in message
    assert 'Near it are' in refused('image_demo.py', 'x', 'adm_sr', *options)


@pytest.fixture(scope='module')
def web() -> dict:
    """What the web demo defines."""
    return runpy.run_path(str(ROOT / 'demo' / 'web_demo.py'))


@pytest.fixture(scope='module')
def painter(tmp_path_factory) -> ADMInferencer:
    config, weights = trained('adm_inpaint_toy', tmp_path_factory.mktemp('painter'))
    return ADMInferencer(config, weights, 'cpu', show_progress=False)


def editor(picture: np.ndarray, *strokes: tuple[slice, slice]) -> dict:
    """What gradio's editor gives: a layer for each stroke."""
    layers = np.zeros((len(strokes), *picture.shape[:2], 4), np.uint8)
    for layer, place in zip(layers, strokes):
        layer[place] = 200
    opaque = np.full((*picture.shape[:2], 1), 255, np.uint8)
    return dict(background=np.concatenate([picture, opaque], 2), layers=list(layers))


def test_what_is_painted_is_filled(web, painter):
    picture = draw_photo(0, 16, 24)
    first, second = np.s_[2:6, 3:9], np.s_[10:14, 12:20]
    hole = np.zeros((16, 24), bool)
    hole[first] = hole[second] = True
    answer = web['make_predict'](dict(painter=painter))
    images = answer('painter', editor(picture, first, second), 2, 5, 'deterministic')
    expected = painter(
        picture,
        masks=hole,
        num_steps=2,
        seed=5,
        sampler='deterministic',
        trajectory=True,
    )
    for image, (wanted,) in zip(images, expected.values(), strict=True):
        assert np.array_equal(image, wanted)
    assert np.array_equal(images[0][~hole], picture[~hole])


def test_where_there_is_no_way_to_draw_its_place_stays_empty(web, painter, monkeypatch):
    windows = make_inference(mode='slide_chains', crop=16, stride=8)
    monkeypatch.setattr(painter.model, 'inference', windows)
    picture = draw_photo(0, 16, 24)
    drawing = editor(picture, np.s_[2:6, 3:9])
    answer = web['make_predict'](dict(painter=painter))
    pred, _, trajectory = answer('painter', drawing, 1, 0, '')
    assert pred.shape == picture.shape and trajectory is None


@pytest.mark.parametrize(
    'drawing, message',
    [
        (None, 'no picture'),
        (dict(background=None, layers=[]), 'no picture'),
        (editor(draw_photo(0, 16, 24)), 'fills holes, but there is no mask'),
    ],
)
def test_a_visitor_is_told_what_is_missing(web, painter, drawing, message):
    with pytest.raises(ValueError, match=message):
        web['make_predict'](dict(painter=painter))('painter', drawing, 1, 0, '')


def test_without_gradio_the_command_is_named(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, 'gradio', None)
    message = refused('web_demo.py', '--model', 'adm_sr_demo', 'x.pth')
    assert 'pip install "gradio>=5"' in message


@pytest.mark.skipif(not importlib.util.find_spec('gradio'), reason='needs gradio')
def test_the_page_has_what_the_answer_needs(web, painter):
    page = web['build_page'](web['make_predict'](dict(painter=painter)), ['painter'])
    (function,) = page.fns.values()
    assert len(function.inputs) == 5 and len(function.outputs) == 3
