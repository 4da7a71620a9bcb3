#!/usr/bin/env python
"""A web page that runs trained models on the images of its visitors."""

import argparse
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np

from mmadm.diffusion import SAMPLER_PRESETS

#: Prediction, comparison and trajectory; None where a model has no trajectory.
Images = tuple[np.ndarray | None, ...]
#: A drawing of the editor: files, or their content.
Drawing = dict[str, str | bytes | list | None]

_SECONDS = 0.2  # between two looks whether the visitor still waits
_DRAWINGS = 16  # that the server holds at a time


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--model',
        nargs='+',
        action='append',
        metavar=('MODEL', 'WEIGHTS'),
        help='name of a shipped model, published file, or config file with a '
        'checkpoint; repeat the option to offer several models (default: all shipped '
        'models that are trained)',
    )
    parser.add_argument('--device', help='such as cpu or cuda:1; default: a GPU if any')
    parser.add_argument('--host', default='127.0.0.1', help='0.0.0.0 for all visitors')
    parser.add_argument('--port', type=int, default=7860)
    parser.add_argument(
        '--max-pixels',
        type=int,
        default=2048 * 2048,
        help='largest image, input or prediction (default: %(default)s)',
    )
    parser.add_argument(
        '--max-mb',
        type=int,
        default=20,
        help='largest upload in megabytes (default: %(default)s)',
    )
    parser.add_argument(
        '--keep-minutes',
        type=int,
        default=10,
        help='when uploads and predictions are removed (default: %(default)s)',
    )
    return parser.parse_args()


def check_limits(args: argparse.Namespace) -> None:
    """Refuse limits with which the page cannot work."""
    for name in ('max_pixels', 'max_mb', 'keep_minutes'):
        if getattr(args, name) < 1:
            raise ValueError(
                f'Limits of the page must be positive, but got {name}='
                f'{getattr(args, name)}. Leave the option out for the default.'
            )


def import_gradio():
    """gradio, without its reports to the internet; or a message how to install it."""
    os.environ['GRADIO_ANALYTICS_ENABLED'] = 'False'
    try:
        import gradio
    except ImportError as error:
        raise ValueError(
            f'The web page needs gradio, which cannot be imported ({error}). Install '
            'it with: pip install "gradio>=5"'
        ) from error
    return gradio


def make_predict(inferencers: dict, max_pixels: int) -> Callable[..., Images]:
    """The function behind the page.

    Args:
        inferencers: :class:`mmadm.apis.ADMInferencer` by the name that visitors see.
        max_pixels: largest image, input or prediction.
    """

    def predict(
        name: str,
        drawing: Drawing | None,
        num_steps: float | None,
        seed: float | None,
        sampler: str | None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Images:
        if not isinstance(name, str) or name not in inferencers:
            raise ValueError(
                f'Unknown model: {name!r}. Choose one of {list(inferencers)}.'
            )
        inferencer = inferencers[name]
        with tempfile.TemporaryDirectory() as folder:
            inputs = {}
            if inferencer.is_conditional:
                inputs = dict(read_drawing(drawing, folder), max_pixels=max_pixels)
            results = inferencer(
                **inputs,
                num_steps=to_integer(num_steps),
                seed=to_integer(seed),
                sampler=sampler or None,
                trajectory=inferencer.model.sampling_mode.has_trajectory,
                should_stop=should_stop,
            )
        shown = ('predictions', 'visualization', 'trajectory')
        return tuple(results.get(key, [None])[0] for key in shown)

    return predict


def to_integer(value: float | None) -> float | None:
    """5 for 5.0, which browsers may send; the inferencer checks all other values."""
    is_whole = isinstance(value, float) and value.is_integer()
    return int(value) if is_whole else value


def read_drawing(drawing: Drawing | None, folder: str) -> dict:
    """Input image, and the hole where a visitor painted.

    Images are opened by mmadm's reader only: others may run programs.

    Args:
        drawing: ``background`` and ``layers`` of strokes, which are transparent where
            nothing was painted.
        folder: for images that are not files yet.
    """
    from mmadm.utils.images import read_mask, read_size

    if drawing is None or drawing['background'] is None:
        raise ValueError('There is no image. Drop one on the editor.')
    image = as_file(drawing['background'], folder)
    size, hole = read_size(image), None
    for layer in drawing['layers'] or ():
        path = as_file(layer, folder)
        if read_size(path) != size:
            raise ValueError(
                f'The painted layer is {read_size(path)}, the image {size}, in pixels '
                '(height, width). Paint on the image, without cropping it afterwards.'
            )
        mask = read_mask(path)
        hole = mask if hole is None else hole | mask
    is_painted = hole is not None and hole.any()
    return dict(inputs=image, masks=hole if is_painted else None)


def as_file(image: str | bytes, folder: str) -> str:
    """The path of an image; its content is written to a file first."""
    if isinstance(image, str):
        return image
    path = Path(folder, f'{len(os.listdir(folder))}.png')
    path.write_bytes(image)
    return str(path)


def streamed(predict: Callable[..., Images], skip: object) -> Callable[..., Iterator]:
    """``predict`` as a generator; sampling stops when it is closed.

    gradio closes the generator of a visitor who left or pressed Stop.

    Args:
        predict: see :func:`make_predict`.
        skip: yielded for each output until there is a result.
    """

    def run(*request) -> Iterator[tuple]:
        stop = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(predict, *request, should_stop=stop.is_set)
            try:
                while not wait([future], _SECONDS).done:
                    yield (skip,) * 3
            finally:
                stop.set()
        yield future.result()

    return run


def unread(component):
    """A component of gradio that passes on what the browser sends, without a look."""
    component.preprocess = lambda payload: payload
    return component


def unread_editor(editor):
    """gradio's image editor, so that it opens no image and keeps few drawings."""
    from gradio.components.base import server

    drawings = editor.blob_storage
    accept = editor.accept_blobs

    def preprocess(payload) -> Drawing | None:
        sent = payload
        if payload is not None and payload.id is not None:
            sent = drawings.pop(payload.id, None)
        if sent is None:
            return None
        images = [sent.background, *(sent.layers or ())]
        # Files that were uploaded, or the content of images.
        image, *layers = [getattr(x, 'path', x) for x in images]
        return dict(background=image, layers=[x for x in layers if x is not None])

    @server
    def accept_blobs(data) -> None:
        while len(drawings) >= _DRAWINGS:
            drawings.pop(next(iter(drawings)), None)
        accept(data)

    editor.preprocess, editor.accept_blobs = preprocess, accept_blobs
    return editor


def build_page(predict: Callable[..., Images], names: list[str], keep_minutes: int):
    """The page: inputs on the left, outputs on the right."""
    gr = import_gradio()

    def guarded(*request, **options) -> Images:
        try:
            return predict(*request, **options)
        except MemoryError as error:
            raise gr.Error('Not enough memory. Give a smaller image.') from error
        except (ValueError, OSError) as error:
            raise gr.Error(str(error), print_exception=False) from error

    samplers = [('of the config', ''), *SAMPLER_PRESETS]
    age = 60 * keep_minutes
    with gr.Blocks(
        title='mmadm', analytics_enabled=False, delete_cache=(min(age, 60), age)
    ) as page:
        gr.Markdown(
            '# mmadm\nDiffusion models with Analytical image Attenuation (ADM): '
            'images in a few steps.'
        )
        with gr.Row():
            with gr.Column():
                model = unread(gr.Dropdown(names, value=names[0], label='model'))
                editor = gr.ImageEditor(
                    label='image (for inpainting, paint the hole)',
                    brush=gr.Brush(colors=['#ffffff'], color_mode='fixed'),
                    format='png',
                )
                inputs = [
                    model,
                    unread_editor(editor),
                    unread(gr.Slider(1, 50, value=5, step=1, label='steps')),
                    unread(gr.Number(0, precision=0, label='seed')),
                    unread(gr.Dropdown(samplers, value='', label='sampler')),
                ]
                with gr.Row():
                    button = gr.Button('Run', variant='primary')
                    stop = gr.Button('Stop')
            with gr.Column():
                outputs = [
                    gr.Image(label=label, format='png')
                    for label in ('prediction', 'side by side', 'sampling trajectory')
                ]
        run = streamed(guarded, gr.skip())
        event = button.click(run, inputs, outputs, api_name='predict')
        stop.click(None, cancels=[event])
    return page


class BodyLimit:
    """ASGI middleware that refuses requests with too large a body.

    Args:
        app: the application.
        max_bytes: largest body of a request.
    """

    def __init__(self, app: Callable, max_bytes: int) -> None:
        self.app, self.max_bytes = app, max_bytes

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        received = 0

        async def counted() -> dict:
            nonlocal received
            message = await receive()
            received += len(message.get('body', b''))
            if received > self.max_bytes:
                return dict(type='http.disconnect')
            return message

        headers = dict(scope.get('headers', ()))
        if int(headers.get(b'content-length', 0)) > self.max_bytes:
            start = dict(type='http.response.start', status=413)
            text = f'{{"detail": "Uploads are limited to {self.max_bytes} bytes."}}'
            json = [(b'content-type', b'application/json')]
            await send(start | dict(headers=json))
            await send(dict(type='http.response.body', body=text.encode()))
        else:
            await self.app(scope, counted, send)


def launch_page(page, args: argparse.Namespace, **options) -> None:
    """Serve the page until it is interrupted."""
    from starlette.middleware import Middleware

    max_bytes = args.max_mb * 10**6
    page.queue(max_size=_DRAWINGS).launch(
        server_name=args.host,
        server_port=args.port,
        max_file_size=max_bytes,
        # The content of a drawing is sent with some text around it.
        app_kwargs=dict(
            middleware=[Middleware(BodyLimit, max_bytes=max_bytes + 10**5)]
        ),
        show_error=True,
        ssr_mode=False,
        **options,
    )


def main() -> None:
    args = parse_args()
    from mmadm.utils.cli import readable_errors

    with (
        readable_errors('The page is closed.'),
        tempfile.TemporaryDirectory() as folder,
    ):
        check_limits(args)
        # All files of visitors are below this folder, which is removed at the end.
        os.environ['GRADIO_TEMP_DIR'] = folder
        import_gradio()
        from mmadm.apis import ADMInferencer, trained_models

        inferencers = {
            ', '.join(Path(part).name for part in model): ADMInferencer(
                *model, device=args.device, show_progress=False
            )
            for model in args.model or ([name] for name in trained_models())
        }
        if not inferencers:
            raise ValueError(
                'There is no model to offer: no shipped model is trained, and --model '
                'is missing. Give --model CONFIG WEIGHTS.'
            )
        predict = make_predict(inferencers, args.max_pixels)
        launch_page(build_page(predict, list(inferencers), args.keep_minutes), args)


if __name__ == '__main__':
    main()
