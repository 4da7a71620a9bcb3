"""The demo scripts, called as users call them."""

import argparse
import os
import runpy
import socket
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmadm.apis import ADMInferencer, SamplingStoppedError, load_config
from tests.conftest import draw_photo
from tests.test_apis.test_inferencer import save_images, save_weights
from tests.test_configs.test_tasks import narrow

ROOT = Path(__file__).parent.parent
CONFIGS = ROOT / 'configs' / 'adm'
LIMIT = 4096**2


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


# The web page


@pytest.fixture(scope='module')
def web() -> dict:
    """The functions of the web demo."""
    return runpy.run_path(str(ROOT / 'demo' / 'web_demo.py'))


@pytest.fixture(scope='module')
def painter(tmp_path_factory) -> ADMInferencer:
    folder = tmp_path_factory.mktemp('painter')
    config, weights = save_narrow_model('adm_inpaint_toy', folder)
    return ADMInferencer(config, weights, 'cpu', show_progress=False)


@pytest.fixture
def predict(web, painter):
    return web['make_predict'](dict(painter=painter), LIMIT)


def draw(folder: Path, image: np.ndarray, *strokes: tuple[slice, slice]) -> dict:
    """A drawing of the page: a file, and a layer for each stroke, as content."""
    path = folder / 'background.png'
    Image.fromarray(image).save(path)
    layers = []
    for place in strokes:
        layer = np.zeros((*image.shape[:2], 4), np.uint8)
        layer[place] = 255
        Image.fromarray(layer).save(folder / 'layer.png')
        layers.append((folder / 'layer.png').read_bytes())
    return dict(background=str(path), layers=layers)


def test_the_painted_hole_is_filled(predict, painter, tmp_path):
    image = draw_photo(0, 16, 24)
    first, second = np.s_[2:6, 3:9], np.s_[10:14, 12:20]
    hole = np.zeros((16, 24), bool)
    hole[first] = hole[second] = True
    drawing = draw(tmp_path, image, first, second)
    shown = predict('painter', drawing, 2.0, 5, 'deterministic')
    options = dict(num_steps=2, seed=5, sampler='deterministic', trajectory=True)
    expected = painter(image, masks=hole, **options)
    for result, (wanted,) in zip(shown, expected.values(), strict=True):
        assert np.array_equal(result, wanted)
    assert np.array_equal(shown[0][~hole], image[~hole])


def test_empty_numbers_are_those_of_the_config(predict, painter, tmp_path):
    drawing = draw(tmp_path, draw_photo(0, 16, 24), np.s_[2:6, 3:9])
    steps = []
    hook = painter.model.head.register_forward_hook(lambda *_: steps.append(1))
    predict('painter', drawing, None, None, None)
    hook.remove()
    assert len(steps) == painter.model.test_cfg['num_steps']


@pytest.fixture
def ghostscript(tmp_path, monkeypatch) -> Path:
    """A fake Ghostscript; the file that it writes when it is run."""
    program, trace = tmp_path / 'bin' / 'gs', tmp_path / 'was_run'
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\ntouch {trace}\n')
    program.chmod(0o755)
    monkeypatch.setenv('PATH', str(program.parent), prepend=os.pathsep)
    # Pillow looks for it once.
    monkeypatch.setattr('PIL.EpsImagePlugin.gs_binary', None)
    return trace


EPS = (
    b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n'
    b'newpath 0 0 moveto 8 8 lineto stroke\nshowpage\n%%EOF\n'
)


def test_a_program_is_never_run_for_an_upload(predict, tmp_path, ghostscript):
    (tmp_path / 'x.png').write_bytes(EPS)
    image = draw(tmp_path, draw_photo(0, 16, 24))
    for drawing in (
        dict(background=str(tmp_path / 'x.png'), layers=[]),
        dict(background=EPS, layers=[]),
        dict(image, layers=[EPS]),
    ):
        with pytest.raises(ValueError, match='Broken image file'):
            predict('painter', drawing, 1, 0, '')
    assert not ghostscript.exists()
    with pytest.raises(OSError), Image.open(tmp_path / 'x.png') as picture:
        picture.load()
    assert ghostscript.exists(), 'the fake is what Pillow would run'


WRONG_REQUESTS = {
    'nothing': (('painter', None, 1, 0, ''), 'no image'),
    'no image': (('painter', dict(background=None, layers=[]), 1, 0, ''), 'no image'),
    'no image file': (
        ('painter', dict(background=b'text', layers=[]), 1, 0, ''),
        'Broken image file',
    ),
    'unknown model': (('sr', None, 1, 0, ''), "Unknown model: 'sr'"),
    'model of another type': ((['painter'], None, 1, 0, ''), 'Unknown model'),
}


@pytest.mark.parametrize(
    'request_, message', WRONG_REQUESTS.values(), ids=WRONG_REQUESTS
)
def test_a_wrong_request_is_refused_with_the_reason(predict, request_, message):
    with pytest.raises(ValueError, match=message):
        predict(*request_)


def test_wrong_values_are_refused_with_the_reason(web, painter, tmp_path):
    drawing = draw(tmp_path, draw_photo(0, 16, 24), np.s_[2:6, 3:9])
    predict = web['make_predict'](dict(painter=painter), 16 * 24)
    for values, message in (
        (('a', 0, ''), r"got \['a'\]"),
        ((1.5, 0, ''), r'got \[1\.5\]'),
        ((10**9, 0, ''), r'got \[1000000000\]'),
        ((1, 'a', ''), "seed='a'"),
        ((1, 0, 'ddim'), 'Unknown sampler'),
    ):
        with pytest.raises(ValueError, match=message):
            predict('painter', drawing, *values)
    unpainted = draw(tmp_path, draw_photo(0, 16, 24))
    with pytest.raises(ValueError, match='no mask'):
        predict('painter', unpainted, 1, 0, '')
    other = draw(tmp_path, draw_photo(0, 16, 25), np.s_[:2, :2])['layers']
    with pytest.raises(ValueError, match=r'layer is \(16, 25\), the image \(16, 24\)'):
        predict(
            'painter',
            dict(draw(tmp_path, draw_photo(0, 16, 24)), layers=other),
            1,
            0,
            '',
        )
    large = draw(tmp_path, draw_photo(0, 17, 24), np.s_[:2, :2])
    with pytest.raises(ValueError, match='Image too large'):
        predict('painter', large, 1, 0, '')


def test_sampling_stops_when_the_visitor_leaves(web, predict, painter, tmp_path):
    drawing = draw(tmp_path, draw_photo(0, 16, 24), np.s_[2:6, 3:9])
    steps, left = [], threading.Event()

    def step(*_) -> None:
        steps.append(1)
        if len(steps) == 3:
            left.wait(30)

    hook = painter.model.head.register_forward_hook(step)
    errors = []

    def watched(*request, **options):
        try:
            return predict(*request, **options)
        except SamplingStoppedError as error:
            errors.append(error)
            raise

    stream = web['streamed'](watched, 'skip')('painter', drawing, 50, 0, '')
    assert next(stream) == ('skip',) * 3
    closing = threading.Thread(target=stream.close)
    closing.start()
    left.set()
    closing.join(30)
    hook.remove()
    assert len(errors) == 1 and len(steps) <= 4


def test_a_stream_ends_with_the_prediction(web, predict, tmp_path):
    drawing = draw(tmp_path, draw_photo(0, 16, 24), np.s_[2:6, 3:9])
    request = ('painter', drawing, 1, 0, '')
    *_, last = web['streamed'](predict, 'skip')(*request)
    assert np.array_equal(last[0], predict(*request)[0])


def test_without_gradio_the_command_is_named(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, 'gradio', None)
    message = refused('web_demo.py', '--model', 'adm_sr_demo', 'x.pth')
    assert 'pip install "gradio>=5"' in message


# The web page as a server


@pytest.fixture
def no_internet(monkeypatch) -> list[str]:
    """The hosts that are looked up, apart from this machine."""
    looked_up = []
    original = socket.getaddrinfo

    def getaddrinfo(host, *args, **kwargs):
        name = host.decode() if isinstance(host, bytes) else host
        if name not in ('127.0.0.1', 'localhost', '0.0.0.0', '::1', None):
            looked_up.append(name)
            raise socket.gaierror(f'no internet in tests: {name}')
        return original(host, *args, **kwargs)

    monkeypatch.setattr(socket, 'getaddrinfo', getaddrinfo)
    return looked_up


@pytest.fixture
def server(web, painter, tmp_path, monkeypatch, no_internet):
    """A running page; its client, its temporary folder, and the looked-up hosts."""
    pytest.importorskip('gradio', reason='the web page needs gradio')
    monkeypatch.setenv('GRADIO_TEMP_DIR', str(tmp_path / 'gradio'))
    web['import_gradio']()
    predict = web['make_predict'](dict(painter=painter), LIMIT)
    page = web['build_page'](predict, ['painter'], keep_minutes=10)
    args = argparse.Namespace(host='127.0.0.1', port=None, max_mb=1)
    web['launch_page'](page, args, prevent_thread_lock=True, quiet=True)
    import httpx
    from gradio_client import Client

    httpx.get(page.local_url)
    # The client looks up hosts of its own.
    looked_up = list(no_internet)
    yield argparse.Namespace(
        client=Client(page.local_url, verbose=False),
        url=page.local_url,
        files=tmp_path / 'gradio',
        looked_up=looked_up,
    )
    page.close()
    assert until(lambda: not files_in(tmp_path / 'gradio')), 'files are removed'


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob('*') if path.is_file()]


def until(condition, seconds: float = 30) -> bool:
    """Wait for a condition; whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def uploaded(folder: Path, image: np.ndarray, place: tuple[slice, slice]) -> dict:
    """A drawing as a client sends it."""
    from gradio_client import handle_file

    drawing = draw(folder, image, place)
    (folder / 'sent.png').write_bytes(drawing['layers'][0])
    return dict(
        background=handle_file(drawing['background']),
        layers=[handle_file(folder / 'sent.png')],
        composite=None,
    )


def test_the_page_predicts(server, painter, tmp_path):
    image, place = draw_photo(0, 16, 24), np.s_[2:6, 3:9]
    drawing = uploaded(tmp_path, image, place)
    pred, *_ = server.client.predict('painter', drawing, 2, 5, '', api_name='/predict')
    hole = np.zeros((16, 24), bool)
    hole[place] = True
    (expected,) = painter(image, masks=hole, num_steps=2, seed=5)['predictions']
    assert np.array_equal(np.asarray(Image.open(pred)), expected)


def test_the_page_contacts_no_other_host(server):
    assert server.looked_up == []


@pytest.mark.parametrize(
    'content, message',
    [(b'text', 'Broken image file'), (EPS, 'Broken image file'), (None, 'no image')],
)
def test_the_page_shows_what_is_wrong(server, ghostscript, tmp_path, content, message):
    from gradio_client import handle_file

    drawing = None
    if content is not None:
        (tmp_path / 'x.png').write_bytes(content)
        file = handle_file(tmp_path / 'x.png')
        drawing = dict(background=file, layers=[], composite=file)
    with pytest.raises(Exception, match=message):
        server.client.predict('painter', drawing, 1, 0, '', api_name='/predict')
    for values in ((None, 'a', ''), ('a', 0, ''), (1, 0, ['adm'])):
        with pytest.raises(Exception, match=message):
            server.client.predict('painter', drawing, *values, api_name='/predict')
    assert not ghostscript.exists()


def test_a_large_upload_is_refused(server, tmp_path):
    import httpx

    (tmp_path / 'x.png').write_bytes(bytes(1_200_000))
    url = f'{server.url}gradio_api/upload'
    with (tmp_path / 'x.png').open('rb') as file:
        response = httpx.post(url, files=dict(files=file))
    assert response.status_code == 413
    content = (b'x' * 100_000 for _ in range(12))
    with pytest.raises(httpx.HTTPError):
        httpx.post(url, content=content, headers={'content-type': 'text/plain'})
        raise httpx.HTTPError('an answer without the file')
    assert not files_in(server.files)


def test_a_visitor_who_left_costs_one_more_step(server, painter, tmp_path):
    steps = []

    def step(*_) -> None:
        steps.append(1)
        time.sleep(0.2)

    hook = painter.model.head.register_forward_hook(step)
    drawing = uploaded(tmp_path, draw_photo(0, 16, 24), np.s_[2:6, 3:9])
    job = server.client.submit('painter', drawing, 50, 0, '', api_name='/predict')
    assert until(lambda: len(steps) >= 3)
    job.cancel()
    time.sleep(2)
    count = len(steps)
    time.sleep(2)
    hook.remove()
    assert 3 <= count == len(steps) < 30
