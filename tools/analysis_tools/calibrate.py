#!/usr/bin/env python
"""Fit intervals of a stated coverage to the spread of several samples.

The scale is fitted on every second image of the test set of the config, and checked on
the others; or on the whole set, and checked on that of --check-options. The file is for
``ADMInferencer(...)(..., calibration=FILE)`` and ``image_demo.py --calibration FILE``.
"""

import argparse
from os.path import expanduser

from mmadm.diffusion import SAMPLER_PRESETS
from mmadm.utils.cli import add_cfg_options


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'model',
        type=expanduser,
        help='config file or name of a shipped config; or, without a checkpoint, a '
        'published file or the name of a model in the box',
    )
    parser.add_argument('checkpoint', nargs='?', type=expanduser)
    parser.add_argument(
        '--out', type=expanduser, required=True, help='JSON file of the calibration'
    )
    parser.add_argument(
        '--coverage',
        type=float,
        default=0.9,
        help='fraction of the pixels in their interval (default: %(default)s)',
    )
    parser.add_argument(
        '--num-samples',
        type=int,
        default=8,
        help='samples of each image (default: %(default)s)',
    )
    parser.add_argument('--num-steps', type=int, help='number of sampling steps')
    parser.add_argument(
        '--sampler',
        choices=list(SAMPLER_PRESETS),
        help='replace the sampler of the config',
    )
    parser.add_argument('--number', type=int, help='use the first images only')
    parser.add_argument('--device', help='such as cpu or cuda:1; default: a GPU if any')
    add_cfg_options(
        parser,
        help='override entries of the config: key=value, such as '
        'test_dataloader.dataset.data_root=FOLDER',
    )
    add_cfg_options(
        parser,
        '--check-options',
        'override entries of the config for the images of the check',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmadm.utils.cli import readable_errors

    with readable_errors('Nothing was written.'):
        from mmengine.registry import init_default_scope

        from mmadm.apis import ADMInferencer, load_model, merge_options
        from mmadm.apis.calibration import calibrate
        from mmadm.registry import DATASETS

        cfg = load_model(args.model, args.checkpoint, args.cfg_options).config
        inferencer = ADMInferencer(
            args.model, args.checkpoint, args.device, show_progress=False
        )
        init_default_scope('mmadm')
        dataset = DATASETS.build(cfg.test_dataloader.dataset)
        others = None
        if args.check_options:
            merge_options(cfg, args.check_options)
            others = DATASETS.build(cfg.test_dataloader.dataset)
        result = calibrate(
            inferencer,
            dataset,
            others,
            args.coverage,
            args.number,
            num_samples=args.num_samples,
            num_steps=args.num_steps,
            sampler=args.sampler,
        )
        result.save(args.out)
        print(
            f'Scale {result.scale:.3f} from {result.images} images; intervals of '
            f'{result.coverage:.0%} cover {result.checked:.1%} of the pixels of other '
            f'images. Written to {args.out}'
        )


if __name__ == '__main__':
    main()
