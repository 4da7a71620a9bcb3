#!/usr/bin/env python
"""Resize CelebA-HQ to 256 x 256, and write the splits for inpainting."""

import argparse
from functools import partial

from mmadm.utils.cli import add_check_options, readable_errors


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument('source', help='folder of the images of CelebA-HQ')
    parser.add_argument('--out', default='data/celeba_hq', help='data root')
    parser.add_argument('--size', type=int, default=256, help='side of the images')
    parser.add_argument(
        '--filter',
        choices=['box', 'bilinear', 'bicubic', 'lanczos'],
        default='bilinear',
        help='how they are reduced; FID depends on it',
    )
    parser.add_argument(
        '--split',
        choices=['lama', 'adm_code', 'none'],
        default='none',
        help='lama: the lists that the config of inpainting reads; adm_code: the last '
        "names to test, as in the authors' code",
    )
    parser.add_argument(
        '--lists',
        help='folder of train_shuffled.flist and val_shuffled.flist of LaMa',
    )
    parser.add_argument(
        '--num-test', type=int, default=2000, help='test images of --split adm_code'
    )
    parser.add_argument(
        '--check-only', action='store_true', help='check, and write nothing'
    )
    add_check_options(parser)
    return parser.parse_args()


def choose_split(args: argparse.Namespace):
    """The function that makes the lists of names, None without a split."""
    from mmadm.datasets.conversion import adm_code_split, lama_split

    if args.split == 'adm_code':
        return partial(adm_code_split, num_test=args.num_test)
    if args.split == 'lama' and not args.lists:
        raise ValueError(
            "The split of LaMa is read from LaMa's lists, but --lists is missing. Give "
            'the folder of train_shuffled.flist and val_shuffled.flist, which are in '
            "LaMa's repository."
        )
    if args.split == 'lama':
        return partial(lama_split, lists=args.lists, subset=args.subset)
    return None


def main() -> None:
    args = parse_args()
    with readable_errors('Run it again to continue.'):
        from mmadm.datasets.conversion import prepare_celeba_hq

        record = prepare_celeba_hq(
            args.source,
            args.out,
            args.size,
            args.filter,
            args.check_only,
            args.subset,
            args.num_workers,
            choose_split(args),
        )
        for key, value in record.items():
            print(f'{key}: {value}')
        if args.split == 'lama' and not args.check_only:
            print('Next, the masks that the config of inpainting reads:')
            for name in ('val', 'test'):
                print(
                    'python tools/dataset_converters/inpainting_masks.py '
                    f'{args.out}/masks/lama_{name}_medium.json '
                    f'--names {args.out}/splits/lama_{name}.txt'
                )


if __name__ == '__main__':
    main()
