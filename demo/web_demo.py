#!/usr/bin/env python
"""A web page that runs trained models on the images of its visitors."""

import argparse
import tempfile
from pathlib import Path

from mmadm.web import Limits, check_gradio, serve


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
        default=Limits.max_pixels,
        help='largest image, input or prediction (default: %(default)s)',
    )
    parser.add_argument(
        '--max-mb',
        type=int,
        default=Limits.max_mb,
        help='largest upload in megabytes (default: %(default)s)',
    )
    parser.add_argument(
        '--keep-minutes',
        type=int,
        default=Limits.keep_minutes,
        help='when uploads and predictions are removed (default: %(default)s)',
    )
    return parser.parse_args()


def display_names(models: list[list[str]]) -> list[str]:
    """Names that visitors see: without folders, where this distinguishes them."""
    short = [', '.join(Path(part).name for part in model) for model in models]
    return short if len({*short}) == len(short) else [', '.join(x) for x in models]


def main() -> None:
    args = parse_args()
    from mmadm.utils.cli import readable_errors

    with (
        readable_errors('The page is closed.'),
        tempfile.TemporaryDirectory() as folder,
    ):
        limits = Limits(args.max_pixels, args.max_mb, args.keep_minutes)
        check_gradio()
        from mmadm.apis import ADMInferencer, trained_models

        models = args.model or [[name] for name in trained_models()]
        inferencers = {
            name: ADMInferencer(*model, device=args.device, show_progress=False)
            for name, model in zip(display_names(models), models, strict=True)
        }
        serve(inferencers, folder, limits, args.host, args.port)


if __name__ == '__main__':
    main()
