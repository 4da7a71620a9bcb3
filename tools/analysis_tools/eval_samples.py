#!/usr/bin/env python
"""Score samples in files, without a model."""

import argparse


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('samples', help='.npz of samples, or folder of images')
    parser.add_argument(
        '--measures',
        nargs='+',
        choices=['fid', 'is', 'kid', 'pr'],
        default=['fid'],
        help='those of Inception; all but is need --reference',
    )
    parser.add_argument(
        '--reference',
        help='statistics made by fid_stats.py; for another network than Inception also '
        'a folder of images',
    )
    parser.add_argument(
        '--network',
        default='inception',
        help='squeezenet, or the name of a shipped model such as adm_edge_small: '
        'Frechet distance of its features, which is not FID (default: %(default)s)',
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
        from mmadm.evaluation import (
            FrechetDistance,
            InceptionFeatures,
            InceptionMetrics,
            score_images,
        )
        from mmadm.utils import check_device
        from mmadm.utils.files import atomic_write

        check_device(args.device)
        images = open_images(args.samples)
        if args.network == InceptionFeatures.name:
            metric = InceptionMetrics(
                args.measures, args.reference, weights=args.weights
            )
        elif args.measures != ['fid'] or args.reference is None:
            raise ValueError(
                f'--network {args.network} gives the Frechet distance to real images '
                f'alone, but --measures {" ".join(args.measures)} --reference '
                f'{args.reference}. Leave out --measures, and give --reference.'
            )
        else:
            metric = FrechetDistance(
                args.reference, network=args.network, weights=args.weights
            )
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
