#!/usr/bin/env python
"""Score simple baselines by the metrics of a config.

bicubic for super-resolution; canny_sigma1 ... canny_sigma3 for edges (the threshold of
ODS times 500 is the best upper threshold of the gradient); mean_mask (of the training
masks) and centre_prior for saliency; telea and navier_stokes for inpainting;
blurred_training and pca_samples for unconditional generation.
"""

import argparse

from mmadm.utils.cli import add_cfg_options


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'config',
        help='config file, with or without a model; or the name of a shipped config',
    )
    parser.add_argument('baselines', nargs='+', help='names of baselines')
    parser.add_argument('--number', type=int, help='score the first images only')
    parser.add_argument('--out', help='scores as JSON')
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmadm.utils.cli import readable_errors

    with readable_errors('Nothing was written.'):
        from mmengine.config import Config
        from mmengine.fileio import dump

        from mmadm.apis import merge_options
        from mmadm.apis.baselines import score_baseline
        from mmadm.checkpoints import find_config
        from mmadm.utils.files import atomic_write

        cfg = Config.fromfile(find_config(args.config))
        merge_options(cfg, args.cfg_options)
        scores = {}
        for name in args.baselines:
            scores[name] = score_baseline(name, cfg, args.number)
            for key, value in scores[name].items():
                print(f'{name} {key}: {value:.4f}', flush=True)
        if args.out:
            with atomic_write(args.out) as part:
                dump(scores, part, file_format='json')


if __name__ == '__main__':
    main()
