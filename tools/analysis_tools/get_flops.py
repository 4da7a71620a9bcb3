#!/usr/bin/env python
"""Print the parameters, multiply-accumulates and training memory of configs."""

import argparse

from mmadm.utils.cli import add_cfg_options


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('configs', nargs='+', help='config files')
    parser.add_argument(
        '--shape',
        type=int,
        nargs=2,
        metavar=('HEIGHT', 'WIDTH'),
        help='size of the image; default: that of the training pipeline',
    )
    parser.add_argument(
        '--num-steps',
        type=int,
        nargs='+',
        default=[5, 10],
        help='numbers of sampling steps (network evaluations per image)',
    )
    parser.add_argument(
        '--peak-tflops',
        type=float,
        help='peak of all GPUs by their data sheet, to print the days of the training',
    )
    parser.add_argument(
        '--utilization',
        type=float,
        default=0.3,
        help='fraction of the peak that training reaches (default: %(default)s)',
    )
    parser.add_argument('--out', help='JSON file for the numbers')
    add_cfg_options(parser)
    return parser.parse_args()


def check_peak(args: argparse.Namespace) -> None:
    """Refuse what no GPU has."""
    peak = 1 if args.peak_tflops is None else args.peak_tflops
    if not (peak > 0 and 0 < args.utilization <= 1):
        raise ValueError(
            'Days follow from a positive peak and a utilization up to 1, but got '
            f'--peak-tflops {args.peak_tflops} --utilization {args.utilization}. Give '
            'for instance 312 and 0.3.'
        )


def main() -> None:
    args = parse_args()
    from mmadm.utils.cli import readable_errors

    with readable_errors():
        from dataclasses import asdict

        from mmengine.fileio import dump

        from mmadm.apis import check_steps, load_config
        from mmadm.apis.complexity import (
            image_size,
            measure,
            overview,
            report,
            training_images,
        )

        check_steps(args.num_steps)
        check_peak(args)
        costs = {}
        for path in args.configs:
            cfg = load_config(path, args.cfg_options)
            complexity = measure(cfg.model, args.shape or image_size(cfg))
            print(f'\n{path}\n{report(complexity, args.num_steps)}')
            if args.peak_tflops:
                images, peak = training_images(cfg), 1e12 * args.peak_tflops
                days = complexity.training_days(images, peak, args.utilization)
                print(f'training on {images:,} images: {days:.2f} days')
            costs[path] = complexity
        if len(costs) > 1:
            print(f'\n{overview(costs, args.num_steps[-1])}')
        if args.out:
            dump({path: asdict(cost) for path, cost in costs.items()}, args.out)


if __name__ == '__main__':
    main()
