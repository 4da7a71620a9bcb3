#!/usr/bin/env python
"""Score samples in files, without a model."""

import argparse


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('samples', help='.npz of samples, or folder of images')
    parser.add_argument(
        '--measures',
        nargs='+',
        choices=['fid', 'is', 'kid', 'pr', 'frechet_squeezenet'],
        default=['fid'],
        help='all but is need --reference; frechet_squeezenet is not FID, and is '
        'computed alone',
    )
    parser.add_argument(
        '--reference',
        help='statistics made by fid_stats.py; for frechet_squeezenet also a folder of '
        'images',
    )
    parser.add_argument(
        '--weights', help="of the network; default: torch's folder for downloads"
    )
    parser.add_argument('--device', default='cpu', help='for instance cuda')
    parser.add_argument('--out', help='scores as JSON')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmadm.utils.cli import readable_errors

    with readable_errors(after_interrupt='Nothing was written.'):
        from mmengine.fileio import dump
        from rich.progress import track

        from mmadm.datasets import open_images
        from mmadm.evaluation import FrechetDistance, InceptionMetrics, score_images
        from mmadm.utils import check_device
        from mmadm.utils.files import atomic_write

        check_device(args.device)
        images = open_images(args.samples)
        if 'frechet_squeezenet' not in args.measures:
            metric = InceptionMetrics(
                args.measures, args.reference, weights=args.weights
            )
        elif len(args.measures) > 1 or args.reference is None:
            raise ValueError(
                'frechet_squeezenet is computed alone and against real images, but '
                f'--measures {" ".join(args.measures)} --reference {args.reference}. '
                'Give it as the only measure, with --reference.'
            )
        else:
            metric = FrechetDistance(args.reference, weights=args.weights)
        scores = score_images(
            metric, track(images, 'Measuring', len(images)), args.device
        )
        for key, value in scores.items():
            print(f'{key}: {value:.4f}')
        if args.out:
            with atomic_write(args.out) as part:
                dump(scores, part, file_format='json')


if __name__ == '__main__':
    main()
