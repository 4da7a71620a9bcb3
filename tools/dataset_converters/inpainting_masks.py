#!/usr/bin/env python
"""Write fixed masks for scoring inpainting, as one JSON file."""

import argparse
from pathlib import Path


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument('out', help='file to write, .json')
    parser.add_argument(
        '--names', required=True, help='list of image names, or folder of the images'
    )
    parser.add_argument(
        '--kind',
        choices=['thin', 'medium', 'thick', 'free_form'],
        default='medium',
        help="LaMa's masks, or free-form ones as ADM's authors train with",
    )
    parser.add_argument(
        '--size', type=int, nargs=2, default=[256, 256], help='height and width'
    )
    parser.add_argument('--seed', type=int, default=0, help='of this set of masks')
    parser.add_argument(
        '--max-hole',
        type=float,
        default=0.5,
        help='largest hidden fraction of an image',
    )
    parser.add_argument(
        '--from-masks', help='folder of published masks, instead of drawing them'
    )
    parser.add_argument(
        '--hole',
        choices=['white', 'black'],
        help='colour of the hole in the published masks',
    )
    parser.add_argument(
        '--cycle',
        action='store_true',
        help='published masks belong to no image: take them in their order, again and '
        'again; otherwise they are paired by name',
    )
    parser.add_argument(
        '--check-only', action='store_true', help='check an existing file'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmadm.utils.cli import readable_errors

    with readable_errors('Nothing was written; run it again.'):
        from mmadm.datasets.conversion import (
            check_names,
            draw_masks,
            image_names,
            masks_from_folder,
        )
        from mmadm.datasets.mask_file import hole_fraction, read_masks, write_masks

        names = image_names(args.names)
        if args.check_only:
            check_names(names, read_masks(args.out), args.out)
            print(f'{args.out} has a mask for each of the {len(names)} images')
            return
        if args.from_masks:
            if not args.hole:
                raise ValueError(
                    'Published masks differ in the colour of the hole, and --hole is '
                    'missing. Look at one of them and give --hole white or black.'
                )
            masks = masks_from_folder(
                names, args.from_masks, args.hole, args.size, args.cycle
            )
            info = dict(source=Path(args.from_masks).name, hole=args.hole)
        else:
            info = dict(kind=args.kind, seed=args.seed, max_hole=args.max_hole)
            masks = draw_masks(names, size=args.size, **info)
        digest = write_masks(args.out, masks, **info)
        print(f'{len(masks)} masks written to {args.out}, sha256 {digest}')
        fraction = hole_fraction(masks)
        hint = '; is --hole the right colour?' if args.hole and fraction > 0.5 else ''
        print(f'They hide {fraction:.1%} of the images on average{hint}')


if __name__ == '__main__':
    main()
