"""What the web page runs, without a server."""

import threading
import time
from functools import partial

import numpy as np
import pytest
from PIL import Image

from mmadm.apis import SamplingStoppedError
from mmadm.utils.images import read_image
from mmadm.web.examples import write_examples
from mmadm.web.predictor import Predictor, Request, Result, Turns, Update, stream
from tests.conftest import draw_photo

STROKE = np.s_[2:6, 3:9]
EPS = (
    b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n'
    b'newpath 0 0 moveto 8 8 lineto stroke\nshowpage\n%%EOF\n'
)


def until(condition, seconds: float = 60) -> bool:
    """Wait for a condition; whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


@pytest.fixture
def predictor(inferencers) -> Predictor:
    return Predictor(inferencers, max_pixels=4096)


@pytest.fixture
def paint(draw):
    """A request for inpainting."""
    drawing = draw(draw_photo(0, 16, 24), STROKE)
    return partial(Request, 'painter', None, drawing)


def test_the_painted_hole_is_filled(predictor, inferencers, draw, folder):
    image = draw_photo(0, 16, 24)
    first, second = np.s_[2:6, 3:9], np.s_[10:14, 12:20]
    hole = np.zeros((16, 24), bool)
    hole[first] = hole[second] = True
    drawing = draw(image, first, second)
    result = predictor(
        Request('painter', None, drawing, 2.0, 5, 'deterministic', 3, ''), folder
    )
    options = dict(num_steps=2, seed=5, sampler='deterministic', num_samples=3)
    expected = inferencers['painter'](image, masks=hole, trajectory=True, **options)
    assert np.array_equal(result.predictions, expected['predictions'])
    assert np.array_equal(result.samples, expected['samples'][0])
    assert np.array_equal(result.std, expected['std'][0])
    assert np.array_equal(result.trajectory, expected['trajectory'][0])
    assert np.array_equal(result.predictions[0][~hole], image[~hole])
    assert np.array_equal(result.before[~hole], image[~hole])
    assert (result.before[hole] != image[hole]).all(axis=-1).mean() > 0.9


@pytest.mark.parametrize('name, scale', [('map', 1), ('sr', 4)])
def test_an_image_is_enough_for_other_models(predictor, draw, folder, name, scale):
    file = draw(draw_photo(0, 12, 16))['background']
    result = predictor(Request(name, file, num_steps=1), folder)
    (prediction,) = result.predictions
    assert prediction.shape[:2] == result.before.shape[:2] == (12 * scale, 16 * scale)
    assert result.samples == [] and result.std is None


def test_images_are_generated_without_an_input(predictor, folder):
    result = predictor(Request('generator', num_steps=1, num_samples=3), folder)
    assert len(result.predictions) == 3 and result.before is None


def test_empty_values_are_those_of_the_config(predictor, inferencers, paint, folder):
    steps = []
    model = inferencers['painter'].model
    hook = model.head.register_forward_hook(lambda *_: steps.append(1))
    predictor(paint(), folder)
    hook.remove()
    assert len(steps) == model.test_cfg['num_steps']


def test_a_model_whose_windows_are_sampled_alone_has_no_steps(
    predictor, inferencers, paint, folder, monkeypatch
):
    model = inferencers['painter'].model
    chains = dict(mode='slide_chains', crop=16, stride=8, num_steps=1)
    monkeypatch.setattr(model, 'test_cfg', chains)
    monkeypatch.setattr(model, 'sampling_mode', model.make_mode(chains))
    *_, result = stream(predictor, paint(), folder)
    assert result.trajectory is None and len(result.predictions) == 1


def test_a_program_is_never_run_for_an_upload(
    predictor, draw, folder, tmp_path, ghostscript
):
    (tmp_path / 'x.png').write_bytes(EPS)
    image = draw(draw_photo(0, 16, 24))
    for drawing in (
        dict(background=str(tmp_path / 'x.png'), layers=[]),
        dict(background=EPS, layers=[]),
        dict(image, layers=[EPS]),
    ):
        with pytest.raises(ValueError, match='Broken image file'):
            predictor(Request('painter', None, drawing), folder)
    with pytest.raises(ValueError, match='Broken image file'):
        predictor(Request('map', str(tmp_path / 'x.png')), folder)
    assert not ghostscript.exists()
    with pytest.raises(OSError), Image.open(tmp_path / 'x.png') as opened:
        opened.load()
    assert ghostscript.exists(), 'the fake is what Pillow would run'


WRONG_REQUESTS = {
    'no drawing': (Request('painter'), 'There is no image'),
    'no image': (Request('map'), 'There is no image'),
    'empty drawing': (
        Request('painter', None, dict(background=None, layers=[])),
        'There is no image',
    ),
    'no image file': (
        Request('painter', None, dict(background=b'text', layers=[])),
        'Broken image file',
    ),
    'unknown model': (Request('x'), "Unknown model: 'x'"),
    'model of another type': (Request(['painter']), 'Unknown model'),
}


@pytest.mark.parametrize(
    'request_, message', WRONG_REQUESTS.values(), ids=WRONG_REQUESTS
)
def test_a_wrong_request_is_refused_with_the_reason(
    predictor, folder, request_, message
):
    with pytest.raises(ValueError, match=message):
        predictor(request_, folder)


@pytest.mark.parametrize(
    'values, message',
    [
        (dict(num_steps='a'), r"got \['a'\]"),
        (dict(num_steps=1.5), r'got \[1\.5\]'),
        (dict(num_steps=10**9), r'got \[1000000000\]'),
        (dict(seed='a'), "seed='a'"),
        (dict(sampler='ddim'), 'Unknown sampler'),
        (dict(mode='half'), "mode='half'"),
        (dict(mode=['slide']), r"mode=\['slide'\]"),
        (dict(sampler={}), 'sampler={}'),
        (dict(num_samples=0), 'num_samples=0'),
        (dict(num_samples=17.0), 'at most 16 at a time, but got num_samples=17'),
        (dict(num_samples=float('inf')), 'num_samples=inf'),
    ],
    ids=str,
)
def test_wrong_values_are_refused_with_the_reason(
    predictor, paint, folder, values, message
):
    with pytest.raises(ValueError, match=message):
        predictor(paint(**values), folder)


def test_wrong_drawings_are_refused_with_the_reason(predictor, draw, folder):
    unpainted = draw(draw_photo(0, 16, 24))
    layers = draw(draw_photo(0, 16, 25), STROKE)['layers']
    large = draw(draw_photo(0, 64, 65), STROKE)
    other = dict(draw(draw_photo(0, 16, 24)), layers=layers)
    for drawing, message in (
        (unpainted, 'no mask'),
        (other, r'layer is \(16, 25\), the image \(16, 24\)'),
    ):
        with pytest.raises(ValueError, match=message):
            predictor(Request('painter', None, drawing), folder)
    Image.fromarray(draw_photo(0, 64, 65)).save(large['background'])
    with pytest.raises(ValueError, match='Image too large'):
        predictor(Request('painter', None, large), folder)


# Several visitors


def test_a_lock_is_given_in_the_order_of_the_requests():
    turns, order = Turns(), []

    def wait_for_turn(number: int) -> None:
        with turns:
            order.append(number)

    threads = [threading.Thread(target=wait_for_turn, args=[i]) for i in range(5)]
    with turns:
        for i, thread in enumerate(threads):
            thread.start()
            assert until(lambda i=i: turns.waiting == i + 1)
        assert order == []
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4]


def test_a_visitor_waits_for_one_step_of_another(
    predictor, inferencers, paint, tmp_path, monkeypatch
):
    order, model = [], inferencers['painter'].model

    def recorded(forward):
        def evaluate(*args, **kwargs):
            order.append(threading.current_thread().name)
            if len(order) == 3:
                second.start()
                assert until(lambda: predictor.turns.waiting == 1)
            return forward(*args, **kwargs)

        return evaluate

    for network in (model.condition_encoder, model.head):
        monkeypatch.setattr(network, 'forward', recorded(network.forward))
    threads = []
    for name in ('first', 'second'):
        (tmp_path / name).mkdir()
        arguments = (paint(num_steps=4), tmp_path / name)
        threads.append(threading.Thread(target=predictor, args=arguments, name=name))
    first, second = threads
    first.start()
    first.join()
    second.join()
    assert order[:4] == ['first'] * 3 + ['second']
    # Each encodes its condition once.
    assert sorted(order) == ['first'] * 5 + ['second'] * 5


def test_visitors_do_not_change_the_options_of_each_other(predictor, paint, tmp_path):
    """The second request runs between two steps of the first one."""

    def run(name: str, request: Request, **watch) -> np.ndarray:
        (tmp_path / name).mkdir()
        return predictor(request, tmp_path / name, **watch).predictions[0]

    first = paint(3, 1, 'adm')
    second = paint(2, 7, 'deterministic', mode='slide')
    alone = run('a', first), run('b', second)
    nested = []

    def between(step: int, *_) -> None:
        if step == 1:
            nested.append(run('d', second))

    outer = run('c', first, callback=between)
    assert np.array_equal(outer, alone[0]) and np.array_equal(nested[0], alone[1])
    assert not np.array_equal(alone[0], alone[1])


def test_the_weights_are_shared(predictor, inferencers, paint, folder):
    head, used = inferencers['painter'].model.head, []
    hook = head.register_forward_pre_hook(lambda module, _: used.append(module))
    predictor(paint(num_steps=1), folder)
    hook.remove()
    (own,) = used
    assert own is not head
    for name, weight in head.named_parameters():
        assert own.get_parameter(name) is weight


# Step by step


def test_a_stream_shows_each_step_and_ends_with_the_result(predictor, paint, tmp_path):
    (tmp_path / 'a').mkdir()
    (tmp_path / 'b').mkdir()
    request = paint(3, num_samples=2)
    *updates, result = [x for x in stream(predictor, request, tmp_path / 'a') if x]
    assert all(isinstance(update, Update) for update in updates)
    counts = [update.done for update in updates if update.estimate is None]
    assert counts == [1, 2, 3, 4, 5, 6] and {x.total for x in updates} == {6}
    estimates = [x.estimate for x in updates if x.estimate is not None]
    assert [x.shape for x in estimates] == [(16, 24, 3)] * 3
    # The last estimate of the first sample is that sample.
    assert np.array_equal(estimates[-1], result.samples[0])
    assert isinstance(result, Result)
    expected = predictor(request, tmp_path / 'b')
    assert np.array_equal(result.predictions, expected.predictions)


def test_an_error_leaves_the_stream(predictor, folder):
    with pytest.raises(ValueError, match='There is no image'):
        list(stream(predictor, Request('map'), folder))


def test_sampling_stops_when_the_visitor_leaves(predictor, inferencers, paint, folder):
    steps, left, errors = [], threading.Event(), []

    def step(*_) -> None:
        steps.append(1)
        if len(steps) == 3:
            left.wait(60)

    def watched(*request, **options):
        try:
            return predictor(*request, **options)
        except SamplingStoppedError as error:
            errors.append(error)
            raise

    hook = inferencers['painter'].model.head.register_forward_hook(step)
    updates = stream(watched, paint(50), folder)
    next(x for x in updates if x is None and len(steps) == 3)
    closing = threading.Thread(target=updates.close)
    closing.start()
    left.set()
    closing.join()
    hook.remove()
    assert len(errors) == 1 and len(steps) <= 4


# Examples


@pytest.mark.parametrize('name', ['map', 'sr'])
def test_an_example_fits_its_model(inferencers, folder, tmp_path, name):
    scale = inferencers[name].model.data_preprocessor.condition_scale
    example, *others = write_examples(tmp_path / 'x', takes_masks=False, scale=scale)
    predictor = Predictor(inferencers, max_pixels=400 * 400)
    result = predictor(Request(name, example.image, num_steps=1), folder)
    height, width = result.predictions[0].shape[:2]
    assert height * width == pytest.approx(384 * 256, rel=0.05) and len(others) == 2


def test_examples_for_inpainting_are_squares_with_a_hole(inferencers, folder, tmp_path):
    predictor = Predictor(inferencers, max_pixels=400 * 400)
    for example in write_examples(tmp_path / 'x', takes_masks=True, scale=1):
        drawing = dict(background=example.image, layers=[example.layer])
        request = Request('painter', drawing=drawing, num_steps=1)
        (prediction,) = predictor(request, folder).predictions
        image, shown = (read_image(x, 'color') for x in (example.image, example.shown))
        assert prediction.shape == image.shape == (128, 128, 3)
        # What is shown as known is known.
        is_known = (shown == image).all(2)
        assert 0.9 < is_known.mean() < 0.99
        assert (prediction == image)[is_known].all()
