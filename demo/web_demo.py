#!/usr/bin/env python
"""A web page that answers pictures with trained models."""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mmadm.diffusion import SAMPLER_PRESETS

Pictures = tuple[np.ndarray | None, ...]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--model',
        nargs=2,
        action='append',
        required=True,
        metavar=('CONFIG', 'WEIGHTS'),
        help='config file or name of a shipped config, and its checkpoint; may be '
        'given several times, for visitors to choose from',
    )
    parser.add_argument('--device', help='such as cpu or cuda:1; default: the best')
    parser.add_argument('--host', default='127.0.0.1', help='0.0.0.0: all may visit')
    parser.add_argument('--port', type=int, default=7860)
    return parser.parse_args()


def import_gradio():
    """gradio, or a message that says how to get it."""
    try:
        import gradio
    except ImportError as error:
        raise ValueError(
            f'The web page needs gradio, which cannot be imported ({error}). Install '
            'it with: pip install "gradio>=5"'
        ) from error
    return gradio


def make_predict(inferencers: dict) -> Callable[..., Pictures]:
    """What the page calls.

    Args:
        inferencers: :class:`mmadm.apis.ADMInferencer` by the name that visitors see.
    """

    def answer(
        name: str, drawing: dict | None, num_steps: int, seed: int, sampler: str
    ) -> Pictures:
        """Answer; condition and answer side by side; the way from noise, if one."""
        inferencer = inferencers[name]
        request = request_of(drawing) if inferencer.is_conditional else {}
        results = inferencer(
            **request,
            num_steps=int(num_steps),
            seed=int(seed),
            sampler=sampler or None,
            trajectory=inferencer.model.inference.has_trajectory,
        )
        shown = ('predictions', 'visualization', 'trajectory')
        return tuple(results.get(key, [None])[0] for key in shown)

    return answer


def request_of(drawing: dict | None) -> dict:
    """The picture, and the hole where a visitor painted.

    Args:
        drawing: what gradio's editor gives: ``background`` and ``layers`` of strokes,
            (H, W, 4), RGBA.
    """
    if drawing is None or drawing['background'] is None:
        raise ValueError('There is no picture to answer. Drop one on the editor.')
    picture = np.ascontiguousarray(drawing['background'][..., :3])
    mask = np.zeros(picture.shape[:2], bool)
    for layer in drawing['layers']:
        mask |= layer[..., 3] > 0
    return dict(inputs=picture, masks=mask if mask.any() else None)


def build_page(answer: Callable[..., Pictures], names: list[str]):
    """The page: the request to the left, what comes of it to the right."""
    gr = import_gradio()

    def shown(*request) -> Pictures:
        try:
            return answer(*request)
        except (ValueError, OSError) as error:
            raise gr.Error(str(error), print_exception=False) from error

    with gr.Blocks(title='mmadm') as page:
        gr.Markdown(
            '# mmadm\nDiffusion models with Analytical image Attenuation (ADM): '
            'answers in a few network calls.'
        )
        with gr.Row():
            with gr.Column():
                requests = [
                    gr.Dropdown(names, value=names[0], label='model'),
                    gr.ImageEditor(label='picture (inpainting: paint the hole)'),
                    gr.Slider(1, 50, value=5, step=1, label='network calls'),
                    gr.Number(0, precision=0, label='seed'),
                    gr.Dropdown(
                        [("the config's", ''), *SAMPLER_PRESETS],
                        value='',
                        label='sampler',
                    ),
                ]
                button = gr.Button('Answer', variant='primary')
            with gr.Column():
                answers = [
                    gr.Image(label=label, format='png')
                    for label in ('answer', 'side by side', 'from noise to answer')
                ]
        button.click(shown, requests, answers, api_name='answer')
    return page


def main() -> None:
    args = parse_args()
    from mmadm.utils.cli import readable_errors

    with readable_errors('The page is closed.'):
        import_gradio()
        from mmadm.apis import ADMInferencer

        inferencers = {
            f'{Path(config).stem}, {Path(weights).name}': ADMInferencer(
                config, weights, args.device, show_progress=False
            )
            for config, weights in args.model
        }
        page = build_page(make_predict(inferencers), list(inferencers))
        page.launch(server_name=args.host, server_port=args.port)


if __name__ == '__main__':
    main()
