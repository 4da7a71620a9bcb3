#!/usr/bin/env python
"""Nearest training images of samples: has an unconditional model memorised its data?

The distance is the RMS difference of the pixels in grey levels. Samples of a model that
has not memorised are about as far from the training images as other real images are.
"""

import argparse


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('samples', help='folder, or .npz of tools/test.py --out')
    parser.add_argument('training', help='folder of the training images')
    parser.add_argument('--held-out', help='folder of other real images, to compare')
    parser.add_argument('--side', type=int, default=64, help='size to compare at')
    parser.add_argument(
        '--number', type=int, default=200, help='of samples (default: %(default)s)'
    )
    parser.add_argument(
        '--out', help='PNG of the eight samples that are nearest, and their neighbours'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmadm.utils.cli import readable_errors

    with readable_errors('Nothing was written.'):
        from itertools import islice

        import numpy as np
        from PIL import Image

        from mmadm.apis.nearest import draw_neighbours, nearest
        from mmadm.datasets import open_images
        from mmadm.utils.files import atomic_write

        if args.side < 1 or args.number < 1:
            raise ValueError(
                'Images are compared at a positive size, and at least one of them, but '
                f'--side {args.side} --number {args.number}. Give positive numbers.'
            )

        def read(source: str, number: int | None = None) -> np.ndarray:
            images = open_images(source).resized(args.side, 'lanczos')
            return np.stack([*islice(images, number)])

        samples, training = read(args.samples, args.number), read(args.training)
        found = {'samples': nearest(samples, training)}
        if args.held_out:
            found['held out'] = nearest(read(args.held_out), training)
        for name, neighbours in found.items():
            low, median = np.quantile(neighbours.distances, [0.05, 0.5])
            print(
                f'{name}: {len(neighbours.distances)} images, distance to the nearest '
                f'training image: median {median:.1f}, 5 % below {low:.1f} grey levels'
            )
        if args.out:
            first = found['samples']
            order = np.argsort(first.distances)[:8]
            sheet = draw_neighbours(samples, first, order.tolist())
            with atomic_write(args.out) as part:
                Image.fromarray(sheet).save(part, format='PNG')
            print(f'Written to {args.out}')


if __name__ == '__main__':
    main()
