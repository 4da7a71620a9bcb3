#!/usr/bin/env python
"""Check DIV2K and cut its training images into overlapping sub-images."""

import argparse

from mmadm.utils.cli import add_check_options, readable_errors


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument('data_root', nargs='?', default='data/DIV2K', help='data root')
    parser.add_argument('--size', type=int, default=768, help='side of a sub-image')
    parser.add_argument(
        '--stride', type=int, default=384, help='step between sub-images'
    )
    parser.add_argument(
        '--check-only', action='store_true', help='check, and write nothing'
    )
    add_check_options(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with readable_errors('Run it again to continue.'):
        from mmadm.datasets.conversion import prepare_div2k

        counts = prepare_div2k(
            args.data_root,
            args.size,
            args.stride,
            args.check_only,
            args.subset,
            args.num_workers,
        )
        for kind, count in counts.items():
            print(f'{kind}: {count}')


if __name__ == '__main__':
    main()
