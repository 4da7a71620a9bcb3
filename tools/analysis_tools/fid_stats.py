#!/usr/bin/env python
"""Compute the statistics of real images that samples are compared with."""

import argparse


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'source',
        help="folder of images, folder of CIFAR-10's batches, or .npz of samples",
    )
    parser.add_argument('--out', required=True, help='.npz file for the statistics')
    parser.add_argument(
        '--network',
        default='inception',
        help='inception: FID, KID, precision and recall; for FrechetDistance: '
        'squeezenet, or the name of a shipped model',
    )
    parser.add_argument(
        '--weights', help="of the network; default: torch's folder for downloads"
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
        help='number of images whose features are kept, for KID, precision and recall',
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
        if args.size is not None and args.size < 1:
            raise ValueError(
                f'Images have at least one pixel per side, but --size {args.size}. '
                'Give a positive number, or leave it out to keep the size.'
            )
        from rich.progress import track

        from mmadm.datasets import open_images
        from mmadm.evaluation import (
            InceptionFeatures,
            measure_reference,
            small_extractor,
        )
        from mmadm.utils import check_device

        check_device(args.device)
        images = open_images(args.source)
        if args.size is not None:
            images = images.resized(args.size, args.filter)
        if args.network == InceptionFeatures.name:
            extractor = InceptionFeatures(args.weights)
        else:
            extractor = small_extractor(args.network, args.weights)
        reference = measure_reference(
            track(images, 'Measuring', len(images)),
            len(images),
            extractor,
            args.features,
            args.device,
            source=args.source,
            formats=images.formats,
            resize=f'Pillow {args.filter} {args.size}' if args.size else 'none',
        )
        reference.save(args.out)
        for key, value in reference.provenance.items():
            print(f'{key}: {value}')
        print(f'Statistics of {len(images)} images written to {args.out}')


if __name__ == '__main__':
    main()
