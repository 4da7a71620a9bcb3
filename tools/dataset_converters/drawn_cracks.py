#!/usr/bin/env python
"""Draw cracks on photographs of scikit-image: pairs for the fine-tuning recipe."""

import argparse


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        'out_dir', nargs='?', default='data/drawn_cracks', help='folder to write'
    )
    parser.add_argument('--num-train', type=int, default=50, help='training pairs')
    parser.add_argument('--num-test', type=int, default=20, help='test pairs')
    parser.add_argument('--size', type=int, default=192, help='height and width')
    parser.add_argument('--seed', type=int, default=0)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmadm.utils.cli import readable_errors

    with readable_errors('Remove the folder, and run it again.'):
        from mmadm.datasets.conversion import draw_crack_pairs

        counts = draw_crack_pairs(
            args.out_dir, args.num_train, args.num_test, args.size, args.seed
        )
        for part, count in counts.items():
            print(f'{args.out_dir}, {part}: {count} pairs')


if __name__ == '__main__':
    main()
