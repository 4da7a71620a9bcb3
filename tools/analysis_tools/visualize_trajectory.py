#!/usr/bin/env python
"""Draw how samples form, step by step: for several numbers of steps and samplers."""

import argparse
from os.path import expanduser

from mmadm.diffusion import SAMPLER_PRESETS


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'model', help='name of a shipped model, published file, or config file'
    )
    parser.add_argument('weights', nargs='?', help='checkpoint file, for a config')
    parser.add_argument(
        '--input', type=expanduser, help='image; not for unconditional models'
    )
    parser.add_argument(
        '--mask', type=expanduser, help='for inpainting: white where the hole is'
    )
    parser.add_argument('--out', required=True, type=expanduser, help='PNG file')
    parser.add_argument(
        '--num-steps',
        type=int,
        nargs='+',
        default=[5],
        help='numbers of sampling steps, one row each',
    )
    parser.add_argument(
        '--sampler',
        nargs='+',
        choices=list(SAMPLER_PRESETS),
        help="samplers, one row each; default: the config's",
    )
    parser.add_argument('--seed', type=int, help='seed of sampling')
    parser.add_argument('--device', help='such as cpu or cuda:1; default: a GPU if any')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmadm.utils.cli import readable_errors

    with readable_errors('Nothing was written.'):
        from mmadm.apis import ADMInferencer, check_steps
        from mmadm.visualization.images import captioned, column
        from mmadm.visualization.visualizer import save

        if not args.out.lower().endswith('.png'):
            raise ValueError(
                f'The figure is a PNG file, but --out {args.out}. Give a file name '
                'that ends in .png.'
            )
        check_steps(args.num_steps)
        inferencer = ADMInferencer(
            args.model, args.weights, args.device, show_progress=False
        )
        rows = []
        for sampler in args.sampler or [None]:
            for n in args.num_steps:
                (figure,) = inferencer(
                    args.input,
                    masks=args.mask,
                    num_steps=n,
                    sampler=sampler,
                    seed=args.seed,
                    trajectory=True,
                )['trajectory']
                caption = f'{sampler or "sampler of the config"}, {n} steps'
                rows.append(captioned(figure, caption))
        save(column(rows), args.out)
        print(f'Trajectories written to {args.out}')


if __name__ == '__main__':
    main()
