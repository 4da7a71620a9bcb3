#!/usr/bin/env python
"""Convert a checkpoint of ADM's authors, or DiffusionEdge's, and write its config."""

import argparse

from mmadm.utils.cli import add_cfg_options


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', help='checkpoint: model-<k>.pt, or a published file')
    parser.add_argument('config', help='config of the task that it was trained for')
    parser.add_argument('target', help='.safetensors file; the config goes beside it')
    parser.add_argument(
        '--generation',
        required=True,
        choices=['adm_public', 'ddm_public', 'diffusion_edge'],
        help='the code that trained it; files of the first two look the same',
    )
    parser.add_argument(
        '--noise',
        choices=['sqrt', 'linear'],
        default='sqrt',
        help="b(t); 'linear' for models of their const_2 configs",
    )
    parser.add_argument(
        '--raw', action='store_true', help='use the last weights, not their average'
    )
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='read the source even if it runs code: only for files you trust',
    )
    add_cfg_options(
        parser,
        help='override entries of the config, for networks of other sizes',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmadm.utils.cli import readable_errors

    with readable_errors('Nothing was written.'):
        from mmadm.apis import load_config
        from mmadm.checkpoints import trust_checkpoint
        from mmadm.checkpoints.converters import convert_authors

        if args.trust_checkpoint:
            trust_checkpoint(args.source)
        cfg = load_config(args.config, args.cfg_options)
        convert_authors(
            args.source, cfg, args.target, args.generation, args.noise, not args.raw
        )
        print(f'Weights: {args.target}')
        print(f'Config:  {args.target.removesuffix(".safetensors")}.py')


if __name__ == '__main__':
    main()
