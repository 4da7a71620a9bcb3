"""The layout of the page, and what its buttons do."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from html import escape
from pathlib import Path

import gradio as gr
from gradio.components.base import server

from mmadm.diffusion.presets import SAMPLER_PRESETS
from mmadm.visualization.images import fitted, grid, heat_map
from mmadm.visualization.visualizer import save

from .drawings import Drawing
from .examples import BRUSH, write_examples
from .predictor import MAX_SAMPLES, Predictor, Request, Result, Update, stream

#: Visitors that are served at a time, and drawings that the server holds.
MAX_VISITORS = 16

_TITLE = (
    '# mmadm\nDiffusion models with Analytical image Attenuation (ADM): images in a '
    'few steps.'
)
_READY = 'Choose an example or drop an image, then press Run.'
_PREVIEW = 768  # side of the images that are shown while they form, in pixels
_SAMPLERS = [('of the model', ''), *SAMPLER_PRESETS]
_MODES = [('automatic', ''), ('whole', 'whole'), ('in windows', 'slide')]
_SOURCES = ('upload', 'clipboard')


def build_page(
    predictor: Predictor, folder: str | Path, keep_minutes: int
) -> gr.Blocks:
    """The page: inputs on the left, results on the right.

    Args:
        predictor: runs the models.
        folder: for the examples; not that of gradio, who removes old files there.
        keep_minutes: when uploads and predictions are removed.
    """
    models = {
        name: _Model(inferencer, Path(folder, str(i)))
        for i, (name, inferencer) in enumerate(predictor.inferencers.items())
    }
    age = 60 * keep_minutes
    with gr.Blocks(
        title='mmadm', analytics_enabled=False, delete_cache=(min(age, 60), age)
    ) as page:
        gr.Markdown(_TITLE)
        with gr.Row():
            with gr.Column():
                name = gr.Dropdown(
                    list(models), value=next(iter(models)), label='Model'
                )
                about = gr.Markdown()
                with gr.Column(visible=False) as image_column:
                    image = gr.Image(label='Image', sources=_SOURCES, height=300)
                with gr.Column(visible=False) as drawing_column:
                    drawing = gr.ImageEditor(
                        label='Image and hole',
                        sources=_SOURCES,
                        height=400,
                        brush=gr.Brush('auto', [BRUSH], color_mode='fixed'),
                        layers=False,
                        transforms=(),
                        format='png',
                    )
                with gr.Column(visible=False) as examples_column:
                    gr.Markdown('Examples')
                    examples = _gallery(
                        'Examples',
                        columns=5,
                        fit_columns=False,
                        height=140,
                        allow_preview=False,
                        buttons=[],
                    )
                settings = _settings()
                with gr.Row():
                    run = gr.Button('Run', variant='primary')
                    stop = gr.Button('Stop')
            with gr.Column():
                status = gr.HTML(_status(_READY), label='Status')
                results = _results()

        for component in (name, image, *settings):
            _pass_on(component)
        _pass_on_drawings(drawing)

        # Not for programs, which need the address of the Run button only.
        private = dict(show_progress='hidden', api_visibility='private')
        columns = [image_column, drawing_column, examples_column]
        shown = [about, *columns, examples, settings[0]]
        for event in (page.load, name.change):
            event(lambda name: models[name].show(), name, shown, **private)

        def choose(name: str, event: gr.SelectData) -> tuple:
            return models[name].example(event.index)

        examples.select(choose, name, [image, drawing], **private)
        running = run.click(
            _streamed(predictor),
            [name, image, drawing, *settings],
            [*results, status],
            api_name='predict',
            show_progress='hidden',
            concurrency_limit=MAX_VISITORS,
        )
        stopped = _status('Stopped.')
        stop.click(lambda: stopped, None, status, cancels=[running], **private)
    return page


class _Model:
    """What the page shows of a model, and the examples for it."""

    def __init__(self, inferencer, folder: Path) -> None:
        self.inferencer = inferencer
        self.takes_image = inferencer.is_conditional
        self.takes_masks = inferencer.takes_masks
        self.scale = inferencer.model.data_preprocessor.condition_scale
        self.examples = []
        if self.takes_image:
            self.examples = write_examples(folder, self.takes_masks, self.scale)

    def show(self) -> tuple:
        """Description, visibility of the inputs, examples and number of steps."""
        visible = (
            self.takes_image and not self.takes_masks,
            self.takes_masks,
            self.takes_image,
        )
        # Columns are hidden, not what is in them: gradio would replace the component by
        # one that opens images.
        columns = [gr.Column(visible=x) for x in visible]
        examples = gr.Gallery([x.shown for x in self.examples], selected_index=None)
        model = self.inferencer.model
        num_steps = model.test_cfg.get('num_steps', model.sampler.num_steps)
        return self._about(), *columns, examples, num_steps

    def _about(self) -> str:
        if not self.takes_image:
            text = 'Input: none.'
        elif self.takes_masks:
            text = 'Input: an image, and the hole that you paint on it.'
        elif self.scale > 1:
            text = f'Input: a small image, which is enlarged {self.scale} times.'
        else:
            text = 'Input: an image.'
        info = self.inferencer.info
        terms = (
            f' Terms of the training data: {info["terms"]}.' if 'terms' in info else ''
        )
        return text + terms

    def example(self, index: int) -> tuple:
        """Values of the image and of the drawing."""
        example = self.examples[index]
        if not self.takes_masks:
            return example.image, gr.skip()
        layers, shown = [example.layer], example.shown
        drawing = dict(background=example.image, layers=layers, composite=shown)
        return gr.skip(), drawing


def _settings() -> list:
    """Components for the fields of a :class:`Request` after the drawing."""
    with gr.Row():
        steps = gr.Slider(1, 50, value=5, step=1, label='Steps (NFE)')
        samples = gr.Slider(1, MAX_SAMPLES, value=1, step=1, label='Samples')
    small = dict(min_width=140)
    with gr.Row():
        seed = gr.Number(0, precision=0, label='Seed', **small)
        sampler = gr.Dropdown(_SAMPLERS, value='', label='Sampler', **small)
        mode = gr.Dropdown(_MODES, value='', label='Large images', **small)
    return [steps, seed, sampler, samples, mode]


def _results() -> list:
    """Components for the results, in the order of :func:`_finished`."""
    # Labels and buttons would cover what is written in figures.
    image = partial(gr.Image, show_label=False, format='png', interactive=False)
    with gr.Tab('Prediction'):
        prediction = image(label='Prediction', buttons=['download', 'fullscreen'])
    with gr.Tab('Before / after'):
        gr.Markdown('The input is left of the line, the prediction right of it.')
        slider = gr.ImageSlider(
            label='Before / after', show_label=False, format='png', interactive=False
        )
    with gr.Tab('Samples'):
        gr.Markdown('With several samples, the prediction is their mean.')
        samples = _gallery('Samples', columns=3)
    with gr.Tab('Uncertainty'):
        gr.Markdown('The standard deviation of two or more samples, in grey levels.')
        std = image(label='Uncertainty', buttons=[])
    with gr.Tab('Steps'):
        gr.Markdown(
            'The noisy image of each step, and below it what is predicted from it.'
        )
        trajectory = image(label='Steps', buttons=[])
    archive = gr.DownloadButton('Download all', interactive=False)
    return [prediction, slider, samples, std, trajectory, archive]


def _gallery(label: str, **options) -> gr.Gallery:
    return gr.Gallery(
        label=label,
        show_label=False,
        object_fit='contain',
        format='png',
        interactive=False,
        **options,
    )


def _streamed(predictor: Predictor) -> Callable[..., Iterator[tuple]]:
    """What Run does: a generator, which gradio closes when the visitor leaves."""
    skipped = [gr.skip()] * 6

    # The names of the arguments are those of the API.
    def run(
        model,
        image=None,
        drawing=None,
        num_steps=None,
        seed=None,
        sampler=None,
        num_samples=None,
        mode=None,
    ) -> Iterator[tuple]:
        request = Request(
            model, image, drawing, num_steps, seed, sampler, num_samples, mode
        )
        no_archive = gr.DownloadButton(interactive=False)
        waiting = _status('Waiting for the first step.')
        yield None, None, [], None, None, no_archive, waiting
        with tempfile.TemporaryDirectory() as folder:
            try:
                for update in stream(predictor, request, folder):
                    if isinstance(update, Result):
                        yield _finished(update, Path(folder, 'images'))
                    elif update is None:
                        yield *skipped, gr.skip()
                    elif update.estimate is None:
                        yield *skipped, _progress(update)
                    else:
                        preview = fitted(update.estimate, _PREVIEW)
                        yield preview, *skipped[1:], _progress(update)
            except (ValueError, OSError, MemoryError) as error:
                message = str(error) or 'Not enough memory. Give a smaller image.'
                yield *skipped, _status(message, role='alert')
                # For programs; visitors see the status.
                raise gr.Error(message, visible=False, print_exception=False) from error

    return run


def _finished(result: Result, folder: Path) -> tuple:
    """The values of all outputs."""
    prediction, *others = result.predictions
    samples = result.samples or result.predictions
    images = dict(prediction=prediction, before=result.before)
    images |= {
        f'sample_{i}': image for i, image in enumerate(samples) if len(samples) > 1
    }
    slider = std = None
    if result.std is not None:
        std = images['uncertainty'] = heat_map(result.std)
    if result.before is not None:
        slider = result.before, prediction
    images['steps'] = result.trajectory
    for name, image in images.items():
        if image is not None:
            save(image, folder / f'{name}.png')
    archive = shutil.make_archive(str(folder.with_name('mmadm')), 'zip', folder)
    height, width = prediction.shape[:2]
    return (
        grid(result.predictions) if others else prediction,
        slider,
        samples,
        std,
        result.trajectory,
        gr.DownloadButton(value=archive, interactive=True),
        _status(f'Finished: {width} x {height} pixels.'),
    )


def _progress(update: Update) -> str:
    done, total = update.done, update.total
    text = f'{done} of {total} network evaluations.'
    return f'<progress value="{done}" max="{total}"></progress>{_status(text)}'


def _status(text: str, role: str = 'status') -> str:
    """HTML that screen readers announce."""
    return f'<p role="{role}">{escape(text)}</p>'


def _pass_on(component) -> None:
    """Let a component pass on what the browser sends; of a file the path, unopened."""
    component.preprocess = lambda payload: getattr(payload, 'path', payload)


def _pass_on_drawings(editor: gr.ImageEditor) -> None:
    """Let gradio's image editor open no image, and keep few drawings."""
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
        while len(drawings) >= MAX_VISITORS:
            drawings.pop(next(iter(drawings)), None)
        accept(data)

    editor.preprocess, editor.accept_blobs = preprocess, accept_blobs
