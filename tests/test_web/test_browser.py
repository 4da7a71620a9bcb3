"""The web page in a real browser: Chromium, without a window."""

import shutil
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmadm.web import Limits, serve
from tests.conftest import draw_photo

pytest.importorskip('gradio', '6', reason='the web page needs gradio')
pytest.importorskip('playwright', reason='playwright controls the browser')
CHROMIUM = next(
    filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))),
    None,
)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason='no browser: install chromium (Debian: apt-get install)'
)
SECONDS = 240


@pytest.fixture(scope='module')
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            # The first one is for containers, the others draw without a GPU.
            args=[
                *('--no-sandbox', '--use-angle=swiftshader'),
                '--enable-unsafe-swiftshader',
            ],
        )
        yield browser
        browser.close()


@pytest.fixture(scope='module')
def address(inferencers, tmp_path_factory):
    """The address of a running page that takes images of up to 400 x 400 pixels."""
    page = serve(
        inferencers,
        str(tmp_path_factory.mktemp('page')),
        Limits(max_pixels=400 * 400, max_mb=1),
        port=None,
        prevent_thread_lock=True,
        quiet=True,
    )
    yield page.local_url
    page.close()


@pytest.fixture(params=[1280, 390], ids=['desktop', 'phone'])
def width(request) -> int:
    """Width of the browser in pixels."""
    return request.param


@pytest.fixture
def page(browser, address, width):
    """The page as a visitor sees it, without errors of scripts."""
    errors = []
    page = browser.new_page(viewport=dict(width=width, height=900))
    page.set_default_timeout(SECONDS * 1000)
    page.on('pageerror', lambda error: errors.append(error))
    page.goto(address)
    page.get_by_label('Thumbnail 1 of 3').wait_for()
    yield page
    page.close()
    assert errors == []


def choose(page, name: str) -> None:
    page.get_by_label('Model').click()
    page.get_by_role('option', name=name, exact=True).click()


def run(page) -> None:
    page.get_by_role('button', name='Run', exact=True).click()


def finished(page) -> str:
    return page.get_by_text('Finished').inner_text(timeout=SECONDS * 1000)


def message(page) -> str:
    return page.get_by_role('alert').first.inner_text(timeout=SECONDS * 1000)


def shown(page, label: str) -> None:
    """Open a tab; its image has to be loaded."""
    page.get_by_role('tab', name=label).click()
    panel = page.get_by_role('tabpanel', name=label).or_(
        page.locator('[role=tabpanel]:visible')
    )
    image = panel.locator('img').first
    image.wait_for()
    assert image.evaluate('x => x.decode().then(() => x.naturalWidth)') > 0


def test_an_example_becomes_samples_with_their_uncertainty(page, tmp_path):
    choose(page, 'sr')
    page.get_by_label('Thumbnail 2 of 3').click()
    page.get_by_label('number input for Samples').fill('2')
    page.get_by_label('number input for Steps (NFE)').fill('2')
    run(page)
    assert finished(page) == 'Finished: 384 x 256 pixels.'
    for label in 'Prediction', 'Before / after', 'Samples', 'Uncertainty', 'Steps':
        shown(page, label)
    # Nothing is wider than the window.
    assert page.evaluate('document.body.scrollWidth <= window.innerWidth')

    with page.expect_download() as download:
        page.get_by_role('button', name='Download all').click()
    with zipfile.ZipFile(download.value.path()) as archive:
        names = {Path(name).stem for name in archive.namelist()}
        archive.extractall(tmp_path)
    assert names == {
        *('prediction', 'before', 'sample_0', 'sample_1', 'uncertainty', 'steps')
    }
    assert Image.open(tmp_path / 'prediction.png').size == (384, 256)


@pytest.mark.parametrize('width', [1280], indirect=True)
def test_the_sample_is_shown_while_it_forms_until_stop(page, inferencers, monkeypatch):
    go, head = threading.Event(), inferencers['map'].model.head
    steps = []

    def pause(*_) -> None:
        steps.append(1)
        if len(steps) == 2:
            go.wait(SECONDS)

    hook = head.register_forward_hook(pause)
    page.get_by_label('Thumbnail 1 of 3').click()
    page.get_by_label('number input for Steps (NFE)').fill('50')
    run(page)
    page.get_by_text('1 of 50 network evaluations').wait_for()
    page.locator('[role=tabpanel]:visible img').first.wait_for()
    page.get_by_role('button', name='Stop', exact=True).click()
    page.get_by_text('Stopped.').wait_for()
    go.set()
    hook.remove()
    assert len(steps) < 50


@pytest.mark.parametrize('width', [1280], indirect=True)
def test_a_painted_hole_is_filled(page, tmp_path):
    choose(page, 'painter')
    # The examples have a hole.
    page.get_by_label('Thumbnail 3 of 3').click()
    canvas = page.locator('canvas').first
    canvas.wait_for()
    run(page)
    assert finished(page) == 'Finished: 128 x 128 pixels.'
    page.get_by_label('Clear canvas').click()
    Image.fromarray(draw_photo(0, 96, 96)).save(tmp_path / 'photo.png')
    page.locator('input[type=file]').last.set_input_files(tmp_path / 'photo.png')
    run(page)
    assert 'no mask' in message(page)
    box = canvas.bounding_box()
    x, y = box['x'] + box['width'] / 2, box['y'] + box['height'] / 2
    page.mouse.move(x - 20, y)
    page.mouse.down()
    page.mouse.move(x + 20, y, steps=5)
    page.mouse.up()
    run(page)
    assert finished(page) == 'Finished: 96 x 96 pixels.'


@pytest.mark.parametrize('width', [1280], indirect=True)
def test_an_error_is_shown_on_the_page(page, tmp_path):
    run(page)
    assert 'There is no image: the editor is empty. Drop an image' in message(page)
    Image.fromarray(draw_photo(0, 401, 400)).save(tmp_path / 'large.png')
    (tmp_path / 'text.png').write_text('text')
    for name, wanted in (
        ('large', 'the limit is 160,000'),
        ('text', 'Broken image file'),
    ):
        page.locator('input[type=file]').first.set_input_files(tmp_path / f'{name}.png')
        page.get_by_label('Remove Image').wait_for()
        run(page)
        page.get_by_text(wanted).wait_for()
        page.get_by_label('Remove Image').click()


@pytest.mark.parametrize('width', [1280], indirect=True)
def test_images_are_generated_without_an_input(page):
    choose(page, 'generator')
    page.get_by_text('Input: none.').wait_for()
    assert not page.get_by_label('Thumbnail 1 of 3').is_visible()
    page.get_by_label('number input for Samples').fill('3')
    run(page)
    finished(page)
    shown(page, 'Samples')
    assert np.asarray(page.locator('.thumbnail-item:visible').count()) == 3
