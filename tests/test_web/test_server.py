"""The web page as a server, called by programs."""

import argparse
import socket
import threading
import time

import numpy as np
import pytest
from PIL import Image

from mmadm.web import Limits, serve
from mmadm.web.predictor import THREAD
from tests.conftest import draw_photo
from tests.test_web.test_predictor import EPS, STROKE, until

pytest.importorskip('gradio', '6', reason='the web page needs gradio')


@pytest.fixture(scope='module')
def looked_up() -> list[str]:
    """The hosts that are looked up, apart from this machine."""
    hosts, original = [], socket.getaddrinfo

    def getaddrinfo(host, *args, **kwargs):
        name = host.decode() if isinstance(host, bytes) else host
        if name not in ('127.0.0.1', 'localhost', '0.0.0.0', '::1', None):
            hosts.append(name)
            raise socket.gaierror(f'no internet in tests: {name}')
        return original(host, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, 'getaddrinfo', getaddrinfo)
        yield hosts


@pytest.fixture(scope='module')
def server(inferencers, tmp_path_factory, looked_up):
    """A running page: its address, a client, its files, and the looked-up hosts."""
    import httpx
    from gradio_client import Client

    folder = tmp_path_factory.mktemp('page')
    page = serve(
        inferencers,
        str(folder),
        Limits(max_mb=1),
        port=None,
        prevent_thread_lock=True,
        quiet=True,
    )
    httpx.get(page.local_url)
    # The client looks up hosts of its own.
    hosts = list(looked_up)
    client = Client(page.local_url, verbose=False)
    yield argparse.Namespace(
        client=client, url=page.local_url, files=folder, looked_up=hosts
    )
    page.close()


@pytest.fixture
def upload(draw, tmp_path):
    """A drawing as a client sends it."""
    from gradio_client import handle_file

    def make(image: np.ndarray, place: tuple[slice, slice]) -> dict:
        drawing = draw(image, place)
        (tmp_path / 'sent.png').write_bytes(drawing['layers'][0])
        return dict(
            background=handle_file(drawing['background']),
            layers=[handle_file(tmp_path / 'sent.png')],
            composite=None,
        )

    return make


def test_a_program_gets_the_prediction(server, inferencers, upload):
    image = draw_photo(0, 16, 24)
    request = ('painter', None, upload(image, STROKE), 2, 5, '', 3)
    pred, slider, samples, *_ = server.client.predict(*request, api_name='/predict')
    hole = np.zeros((16, 24), bool)
    hole[STROKE] = True
    expected = inferencers['painter'](
        image, masks=hole, num_steps=2, seed=5, num_samples=3
    )
    assert np.array_equal(np.asarray(Image.open(pred)), expected['predictions'][0])
    assert len(slider) == 2
    for sample, wanted in zip(samples, expected['samples'][0], strict=True):
        assert np.array_equal(np.asarray(Image.open(sample['image'])), wanted)


def test_an_image_is_sent_as_a_file(server, inferencers, draw):
    from gradio_client import handle_file

    image = draw_photo(0, 12, 16)
    file = handle_file(draw(image)['background'])
    pred, *_ = server.client.predict('map', file, num_steps=1, api_name='/predict')
    (expected,) = inferencers['map'](image, num_steps=1)['predictions']
    assert np.array_equal(np.asarray(Image.open(pred)), expected)


def test_the_page_contacts_no_other_host(server):
    assert server.looked_up == []


@pytest.mark.parametrize(
    'content, message',
    [(b'text', 'Broken image file'), (EPS, 'Broken image file'), (None, 'no image')],
    ids=['text', 'PostScript', 'nothing'],
)
def test_the_page_says_what_is_wrong(server, ghostscript, tmp_path, content, message):
    from gradio_client import handle_file

    file = drawing = None
    if content is not None:
        (tmp_path / 'x.png').write_bytes(content)
        file = handle_file(tmp_path / 'x.png')
        drawing = dict(background=file, layers=[], composite=file)
    for model in ('map', 'painter'):
        with pytest.raises(Exception, match=message):
            server.client.predict(model, file, drawing, 1, api_name='/predict')
    assert not ghostscript.exists()


@pytest.mark.parametrize(
    'values, message',
    [
        ((None, 'a'), "seed='a'"),
        (('a', 0), r"got \['a'\]"),
        ((1, 0, ['adm']), r"sampler=\['adm'\]"),
    ],
    ids=str,
)
def test_values_of_another_type_are_refused(server, upload, values, message):
    drawing = upload(draw_photo(0, 16, 24), STROKE)
    with pytest.raises(Exception, match=message):
        server.client.predict('painter', None, drawing, *values, api_name='/predict')


def test_a_large_upload_is_refused(server, tmp_path):
    import httpx

    before = files_in(server.files)
    (tmp_path / 'x.png').write_bytes(bytes(1_200_000))
    url = f'{server.url}gradio_api/upload'
    with (tmp_path / 'x.png').open('rb') as file:
        response = httpx.post(url, files=dict(files=file))
    assert response.status_code == 413
    content = (b'x' * 100_000 for _ in range(12))
    with pytest.raises(httpx.HTTPError):
        httpx.post(url, content=content, headers={'content-type': 'text/plain'})
        raise httpx.HTTPError('a response without the file')
    assert files_in(server.files) == before


def files_in(folder) -> list:
    return sorted(path for path in folder.rglob('*') if path.is_file())


def test_a_second_visitor_is_served_between_two_steps_of_the_first(
    server, inferencers, upload, draw, tmp_path
):
    from gradio_client import Client, handle_file

    steps, waited, served = [], [], threading.Event()

    def pause(*_) -> None:
        steps.append(1)
        if len(steps) == 2:
            waited.append(served.wait(240))

    hook = inferencers['painter'].model.head.register_forward_hook(pause)
    drawing = upload(draw_photo(0, 16, 24), STROKE)
    job = server.client.submit('painter', None, drawing, 3, api_name='/predict')
    assert until(lambda: len(steps) == 2)
    second = Client(server.url, verbose=False)
    file = handle_file(drawing['background']['path'])
    pred, *_ = second.predict('map', file, num_steps=1, api_name='/predict')
    assert not job.done() and len(steps) == 2
    served.set()
    assert Image.open(pred).size == Image.open(job.result()[0]).size == (24, 16)
    assert waited == [True]
    hook.remove()


def test_sampling_stops_when_a_visitor_has_left(server, inferencers, upload):
    steps = []

    def step(*_) -> None:
        steps.append(1)
        time.sleep(0.05)

    def is_sampling() -> bool:
        return any(x.name.startswith(THREAD) for x in threading.enumerate())

    hook = inferencers['painter'].model.head.register_forward_hook(step)
    drawing = upload(draw_photo(0, 16, 24), STROKE)
    job = server.client.submit('painter', None, drawing, 1000, api_name='/predict')
    assert until(lambda: len(steps) >= 3)
    job.cancel()
    assert until(lambda: not is_sampling()) and len(steps) < 1000
    hook.remove()


def test_files_of_visitors_are_in_the_given_folder(server):
    assert files_in(server.files / 'examples')
    assert any(path.suffix == '.zip' for path in files_in(server.files))
