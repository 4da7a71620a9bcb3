"""Serves the page: limits of requests and files, and the server itself."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

_CSS = """
[role=alert] { border-left: 4px solid #dc2626; padding-left: 12px }
progress {
    appearance: none; display: block; width: 100%; height: 8px; margin-bottom: 8px;
    border: 0; border-radius: 4px; overflow: hidden;
    background: var(--border-color-primary); color: var(--color-accent);
}
progress::-webkit-progress-bar { background: var(--border-color-primary) }
progress::-webkit-progress-value { background: var(--color-accent) }
progress::-moz-progress-bar { background: var(--color-accent) }
/* Small images are enlarged. */
[role=tabpanel] .image-frame img { object-fit: contain; min-height: 300px }
/* All tabs fit into the width of a phone. */
@media (max-width: 600px) {
    .tab-container button { padding: 0 5px; font-size: 12px }
}
"""


@dataclass(frozen=True)
class Limits:
    """What the page accepts and keeps.

    Args:
        max_pixels: largest image, input or prediction.
        max_mb: largest upload in megabytes.
        keep_minutes: when uploads and predictions are removed.

    Raises:
        ValueError: a limit is not positive.
    """

    max_pixels: int = 2048 * 2048
    max_mb: int = 20
    keep_minutes: int = 10

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            if getattr(self, name) < 1:
                raise ValueError(
                    f'Limits of the page must be positive, but got {name}='
                    f'{getattr(self, name)}. Leave the option out for the default.'
                )

    @property
    def max_bytes(self) -> int:
        """Largest upload in bytes."""
        return self.max_mb * 10**6


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


def check_gradio() -> None:
    """Switch off gradio's reports to the internet; a message if it is missing.

    Raises:
        ValueError: gradio cannot be imported, or is too old.
    """
    os.environ['GRADIO_ANALYTICS_ENABLED'] = 'False'
    try:
        import gradio

        if int(gradio.__version__.split('.')[0]) < 6:
            raise ImportError(f'its version is {gradio.__version__}')
    except ImportError as error:
        raise ValueError(
            f'The web page needs gradio, which cannot be imported ({error}). Install '
            'it with: pip install "gradio>=6"'
        ) from error


def serve(
    inferencers: Mapping,
    folder: str | Path,
    limits: Limits = Limits(),
    host: str = '127.0.0.1',
    port: int | None = 7860,
    **options,
):
    """Serve the page until it is interrupted.

    Args:
        inferencers: :class:`mmadm.apis.ADMInferencer` by the name that visitors see.
        folder: for examples and the files of visitors; the caller removes it.
        limits: what the page accepts and keeps.
        host: address; '0.0.0.0' for all visitors.
        port: port; None takes a free one.
        options: further options of gradio's ``launch``.

    Returns:
        gradio's page.

    Raises:
        ValueError: gradio is missing, or there is no model.
    """
    check_gradio()
    if not inferencers:
        raise ValueError(
            'There is no model to offer: no shipped model is trained, and --model is '
            'missing. Give --model CONFIG WEIGHTS.'
        )
    from starlette.middleware import Middleware

    from .page import MAX_VISITORS, build_page
    from .predictor import Predictor

    os.environ['GRADIO_TEMP_DIR'] = str(Path(folder, 'visitors'))
    examples = Path(folder, 'examples')
    predictor = Predictor(inferencers, limits.max_pixels)
    page = build_page(predictor, examples, limits.keep_minutes)
    page.queue(max_size=MAX_VISITORS).launch(
        server_name=host,
        server_port=port,
        max_file_size=limits.max_bytes,
        # The content of a drawing is sent with some text around it.
        app_kwargs=dict(
            middleware=[Middleware(BodyLimit, max_bytes=limits.max_bytes + 10**5)]
        ),
        allowed_paths=[str(examples)],
        css=_CSS,
        footer_links=['api', 'settings'],
        show_error=True,
        ssr_mode=False,
        **options,
    )
    return page
