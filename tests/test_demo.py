"""The demo scripts, called as users call them."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmadm.apis import load_config
from tests.conftest import draw_photo
from tests.test_apis.conftest import save_images, save_weights
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
    """The message of a demo that exits with code 1."""

    def run(script: str, *args) -> str:
        with pytest.raises(SystemExit) as exit_info:
            call(script, *args)
        assert exit_info.value.code == 1
        return capsys.readouterr().err

    return run


def save_narrow_model(name: str, folder: Path) -> tuple[Path, Path]:
    """A narrow config and weights for it, as files."""
    cfg = load_config(str(CONFIGS / f'{name}.py'))
    narrow(cfg)
    cfg.dump(folder / 'narrow.py')
    return folder / 'narrow.py', save_weights(cfg, folder / 'toy.pth')


def test_holes_are_filled_and_known_pixels_kept(call, tmp_path):
    config, weights = save_narrow_model('adm_inpaint_toy', tmp_path)
    images = {name: draw_photo(i, 32, 40) for i, name in enumerate('ab')}
    mask = np.zeros((32, 40), np.uint8)
    mask[8:20, 4:30] = 255
    folder = save_images(tmp_path / 'in', images)
    masks = save_images(tmp_path / 'masks', dict.fromkeys(images, mask))
    options = ('--weights', weights, '--out-dir', tmp_path / 'out', '--trajectory')
    call('image_demo.py', folder, config, *options, '--masks', masks, '--num-steps', 1)
    for name, image in images.items():
        pred = np.asarray(Image.open(tmp_path / 'out' / 'pred' / f'{name}.png'))
        changed = (pred != image).any(axis=2)
        assert not changed[mask == 0].any() and changed[mask == 255].mean() > 0.9
    for kind in ('vis', 'trajectory'):
        files = sorted(path.name for path in (tmp_path / 'out' / kind).iterdir())
        assert files == ['a.png', 'b.png']


def test_masks_are_paired_with_images_by_name(call, refused, tmp_path):
    """Numbers sort differently with a suffix; a missing mask shifts all that follow."""
    config, weights = save_narrow_model('adm_inpaint_toy', tmp_path)
    images = {str(i): draw_photo(i, 16, 16) for i in (1, 2, 10)}
    masks = {name: np.zeros((16, 16), np.uint8) for name in images}
    for name, mask in masks.items():
        mask[int(name)] = 255
    folder = save_images(tmp_path / 'in', images)
    named = {f'{name}_mask': mask for name, mask in masks.items()}
    options = ('--weights', weights, '--num-steps', 1, '--out-dir', tmp_path / 'out')
    call(
        *('image_demo.py', folder, config, *options),
        *('--masks', save_images(tmp_path / 'masks', named)),
    )
    for name, image in images.items():
        pred = np.asarray(Image.open(tmp_path / 'out' / 'pred' / f'{name}.png'))
        rows = np.unique(np.nonzero((pred != image).any(axis=2))[0])
        assert rows.tolist() == [int(name)]

    masks.pop('2')
    fewer = save_images(tmp_path / 'fewer', masks)
    message = refused('image_demo.py', folder, config, *options, '--masks', fewer)
    assert 'no partner: 2' in message


def test_images_are_generated(call, refused, tmp_path):
    config, weights = save_narrow_model('adm_uncond_cifar10_toy', tmp_path)
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
    assert 'Similar names' in refused('image_demo.py', 'x', 'adm_sr', *options)
    message = refused('image_demo.py', 'x', 'adm_sr_demo', *options, '--device', 'foo')
    assert "Device not available: 'foo'" in message


def test_an_image_that_is_too_large_is_refused_before_it_is_decoded(
    call, refused, tmp_path, monkeypatch
):
    config, weights = save_narrow_model('adm_saliency_toy', tmp_path)
    Image.fromarray(draw_photo(0, 100, 120)).save(tmp_path / 'large.png')
    options = ('--weights', weights, '--out-dir', tmp_path / 'out', '--num-steps', 1)
    options = ('image_demo.py', tmp_path / 'large.png', config, *options)
    limit = ('--max-pixels', 11_999)
    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, 'convert', lambda *_: pytest.fail('decoded'))
        message = refused(*options, *limit)
    assert 'large has, or gets, 100 x 120 pixels, and the limit is 11,999' in message
    assert '--mode slide' in message
    call(*options, '--max-pixels', 12_000, '--window', 64)
    assert Image.open(tmp_path / 'out' / 'pred' / 'large.png').size == (120, 100)


def test_without_gradio_the_web_demo_names_the_command(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, 'gradio', None)
    message = refused('web_demo.py')
    assert 'pip install "gradio>=6"' in message


def test_models_with_the_same_file_names_are_shown_with_their_folders():
    names = runpy.run_path(str(ROOT / 'demo' / 'web_demo.py'))['display_names']
    assert names([['adm_sr_small'], ['a/x.py', 'y.pth']]) == [
        'adm_sr_small',
        'x.py, y.pth',
    ]
    assert names([['a/x.py'], ['b/x.py']]) == ['a/x.py', 'b/x.py']
