#!/usr/bin/env python
"""Export a model with all its sampling steps as one graph: ONNX or torch.export."""

import argparse
import time

from mmadm.utils.cli import add_cfg_options


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'model', help='name of a shipped model, published file, or config file'
    )
    parser.add_argument(
        'files',
        nargs='+',
        metavar='FILE',
        help='the file to write, .onnx or .pt2; before it the checkpoint of a config',
    )
    parser.add_argument(
        '--num-steps', type=int, help="steps (NFE) of the graph; default: the config's"
    )
    parser.add_argument(
        '--window',
        type=int,
        help='export a graph of fixed size, in pixels of the prediction: larger images '
        'are sampled in windows, smaller ones are padded. Default: any size',
    )
    parser.add_argument(
        '--fitted-sampler', help='.json file of tools/analysis_tools/fit_sampler.py'
    )
    parser.add_argument(
        '--info', help='.json file of facts to write: data, terms, licence, ...'
    )
    add_cfg_options(parser)
    args = parser.parse_args()
    if len(args.files) > 2:
        parser.error('give a model, perhaps a checkpoint, and the file to write')
    return args


def main() -> None:
    args = parse_args()
    from mmadm.utils.cli import readable_errors

    with readable_errors('Nothing was written.'):
        from mmadm.apis import check_steps, load_model
        from mmadm.apis.fitting import use_fitted_sampler
        from mmadm.checkpoints import safe_loaders
        from mmadm.deployment import export_model
        from mmadm.utils.files import read_json

        *checkpoint, target = args.files
        if args.num_steps is not None:
            check_steps([args.num_steps])
        source = load_model(args.model, *checkpoint, options=args.cfg_options)
        if args.fitted_sampler:
            use_fitted_sampler(source.config, args.fitted_sampler)
        info = read_json(args.info) if args.info else None
        begin = time.perf_counter()
        with safe_loaders():
            path = export_model(source, target, args.num_steps, args.window, info)
        seconds = time.perf_counter() - begin
        size = path.stat().st_size / 1e6
        print(f'Written to {path}: {size:.1f} MB, in {seconds:.0f} s')


if __name__ == '__main__':
    main()
