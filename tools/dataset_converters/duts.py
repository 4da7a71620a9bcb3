#!/usr/bin/env python
"""Check that DUTS is complete, and that its images and masks fit."""

import argparse


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument('data_root', nargs='?', default='data/DUTS', help='data root')
    parser.add_argument(
        '--fast', action='store_true', help="read the files' headers only"
    )
    parser.add_argument(
        '--subset',
        action='store_true',
        help='be content with a part of the official images',
    )
    parser.add_argument(
        '--num-workers', type=int, default=0, help='threads, 0 for one per core'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmadm.utils.cli import readable_errors

    with readable_errors('Run it again to go on with what is missing.'):
        from mmadm.datasets.conversion import check_duts

        counts = check_duts(
            args.data_root, args.subset, not args.fast, args.num_workers
        )
        for part, count in counts.items():
            print(f'{part}: {count} pairs, all fit')


if __name__ == '__main__':
    main()
