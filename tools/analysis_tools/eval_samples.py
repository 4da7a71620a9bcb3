#!/usr/bin/env python
"""Score samples that lie in files, without a model."""

import argparse


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('samples', help='.npz of samples, or folder of images')
    parser.add_argument(
        '--measures',
        nargs='+',
        choices=['fid', 'is', 'kid', 'pr'],
        default=['fid'],
        help='what to measure; all but is need --reference',
    )
    parser.add_argument('--reference', help='statistics that fid_stats.py has written')
    parser.add_argument(
        '--weights', help="Inception weights; default: torch's folder for downloads"
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
        from mmadm.evaluation import InceptionMetrics, score_images
        from mmadm.utils.files import atomic_write

        pictures = open_images(args.samples)
        metric = InceptionMetrics(args.measures, args.reference, weights=args.weights)
        shown = track(pictures, 'Measuring', len(pictures))
        scores = score_images(metric, shown, args.device)
        for key, value in scores.items():
            print(f'{key}: {value:.4f}')
        if args.out:
            with atomic_write(args.out) as part:
                dump(scores, part, file_format='json')


if __name__ == '__main__':
    main()
