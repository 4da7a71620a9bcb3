#!/usr/bin/env python
"""Check BSDS500 and write the augmented training pairs (300 x 96)."""

import argparse

from mmadm.utils.cli import add_check_options, readable_errors


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        'data_root', nargs='?', default='data/BSDS500/data', help='data root'
    )
    parser.add_argument('--angles', type=int, default=16, help='number of rotations')
    parser.add_argument(
        '--scales',
        type=float,
        nargs='+',
        default=[0.5, 1.0, 1.5],
        help='of each rotated pair',
    )
    parser.add_argument(
        '--check-only', action='store_true', help='check, and write nothing'
    )
    add_check_options(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with readable_errors('Run it again to continue.'):
        from mmadm.datasets.conversion import prepare_bsds500

        counts = prepare_bsds500(
            args.data_root,
            args.angles,
            args.scales,
            args.check_only,
            args.subset,
            args.num_workers,
        )
        for kind, count in counts.items():
            print(f'{kind}: {count}')


if __name__ == '__main__':
    main()
