#!/usr/bin/env python
"""Check that DUTS is complete, and that its images and masks belong together."""

import argparse

from mmadm.utils.cli import add_check_options, readable_errors


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument('data_root', nargs='?', default='data/DUTS', help='data root')
    parser.add_argument(
        '--fast', action='store_true', help="read only the files' headers"
    )
    add_check_options(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with readable_errors('Run it again to continue.'):
        from mmadm.datasets.conversion import check_duts

        counts = check_duts(
            args.data_root, args.subset, not args.fast, args.num_workers
        )
        for part, count in counts.items():
            depth = 'sizes' if args.fast else 'sizes and pixels'
            print(f'{part}: {count} pairs, {depth} checked')


if __name__ == '__main__':
    main()
