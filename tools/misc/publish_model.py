#!/usr/bin/env python
"""Make one small, safe file of a model, which is all that others need to use it."""

import argparse

from mmadm.utils.cli import add_cfg_options


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('in_file', help='checkpoint of training')
    parser.add_argument('out_file', help='.safetensors file; its hash joins the name')
    parser.add_argument(
        '--config',
        help='config of the training; it is written into the file as data. Without it '
        'the file has weights only, in the precision of the checkpoint',
    )
    parser.add_argument(
        '--info',
        help='.json file of facts to write: data, terms, command, hardware, time, ...',
    )
    parser.add_argument(
        '--fitted-sampler', help='.json file of tools/analysis_tools/fit_sampler.py'
    )
    parser.add_argument(
        '--scores', nargs='+', default=[], help='.json files of tools/test.py --out'
    )
    parser.add_argument(
        '--hash-data', action='store_true', help='write a hash of the training data'
    )
    parser.add_argument(
        '--full-precision', action='store_true', help='write float32, not float16'
    )
    add_cfg_options(parser)
    return parser.parse_args()


def publish(args: argparse.Namespace):
    from mmadm.apis import load_config
    from mmadm.apis.fitting import use_fitted_sampler
    from mmadm.checkpoints import hash_data, publish_model, publish_weights
    from mmadm.utils.files import read_json

    if args.config is None:
        if args.info or args.scores or args.hash_data or args.cfg_options:
            raise ValueError(
                'Facts are written beside a config, but --config is missing. Give the '
                'config of the training.'
            )
        return publish_weights(args.in_file, args.out_file)
    cfg = load_config(args.config, args.cfg_options)
    if args.fitted_sampler:
        use_fitted_sampler(cfg, args.fitted_sampler)
    info = read_json(args.info) if args.info else {}
    if args.scores:
        info['scores'] = {stem(path): read_json(path) for path in args.scores}
    if args.hash_data:
        info['data_hash'] = hash_data(cfg)
    return publish_model(
        args.in_file, args.out_file, cfg, info, half=not args.full_precision
    )


def stem(path: str) -> str:
    from pathlib import Path

    return Path(path).stem


def main() -> None:
    args = parse_args()
    from mmadm.utils.cli import readable_errors

    with readable_errors('Nothing was written.'):
        path = publish(args)
        print(f'Written to {path} ({path.stat().st_size / 1e6:.1f} MB)')


if __name__ == '__main__':
    main()
