#!/usr/bin/env python
"""Measure real images once, so that samples can be compared with them."""

import argparse


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'source',
        help="folder of images, folder of CIFAR-10's batches, or .npz of samples",
    )
    parser.add_argument('--out', required=True, help='.npz file for the statistics')
    parser.add_argument(
        '--weights', help="Inception weights; default: torch's folder for downloads"
    )
    parser.add_argument('--size', type=int, help='resize to this height and width')
    parser.add_argument(
        '--filter',
        choices=['lanczos', 'bicubic'],
        default='lanczos',
        help='of the resizing, by Pillow',
    )
    parser.add_argument(
        '--features',
        type=int,
        default=0,
        help='keep the features of so many images, for KID, precision and recall',
    )
    parser.add_argument('--device', default='cpu', help='for instance cuda')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmadm.utils.cli import readable_errors

    with readable_errors(after_interrupt='Nothing was written.'):
        if not args.out.endswith('.npz'):
            raise ValueError(
                f'Statistics are written to a .npz file, but --out {args.out}. Give a '
                'file name that ends in .npz.'
            )
        from rich.progress import track

        from mmadm.datasets import open_images
        from mmadm.evaluation import InceptionFeatures, measure_reference

        pictures = open_images(args.source)
        if args.size:
            pictures = pictures.resized(args.size, args.filter)
        reference = measure_reference(
            track(pictures, 'Measuring', len(pictures)),
            len(pictures),
            InceptionFeatures(args.weights),
            args.features,
            args.device,
            source=args.source,
            formats=pictures.formats,
            resize=f'Pillow {args.filter} {args.size}' if args.size else 'none',
        )
        reference.save(args.out)
        for key, value in reference.provenance.items():
            print(f'{key}: {value}')
        print(f'Statistics of {len(pictures)} images written to {args.out}')


if __name__ == '__main__':
    main()
