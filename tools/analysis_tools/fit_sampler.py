#!/usr/bin/env python
"""Fit a sampler of few steps to a trained model, without ground truth."""

import argparse


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'model', help='name of a shipped model, published file, or config file'
    )
    parser.add_argument('checkpoint', nargs='?', help='checkpoint of a config')
    parser.add_argument(
        '--num-steps', type=int, nargs='+', default=[3, 5], help='one fit for each'
    )
    parser.add_argument(
        '--inputs', help='folder of input images of a conditional model'
    )
    parser.add_argument('--masks', help='folder of their holes, for inpainting')
    parser.add_argument(
        '--number', type=int, default=8, help='images (default: %(default)s)'
    )
    parser.add_argument(
        '--fine-steps',
        type=int,
        default=50,
        help='steps of the sampler that is the goal (default: %(default)s)',
    )
    parser.add_argument(
        '--iterations',
        type=int,
        default=150,
        help='steps of the optimiser (default: %(default)s)',
    )
    parser.add_argument(
        '--out', default='sampler.json', help='file to write (default: %(default)s)'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmadm.utils.cli import readable_errors

    with readable_errors('Nothing was written.'):
        from mmadm.apis import ADMInferencer, check_steps
        from mmadm.apis.fitting import fit_sampler, write_sampler

        check_steps(args.num_steps)
        model = ADMInferencer(args.model, args.checkpoint)
        fits = fit_sampler(
            model,
            args.num_steps,
            args.inputs,
            args.number,
            args.fine_steps,
            args.iterations,
            masks=args.masks,
        )
        write_sampler(args.out, list(fits), model.model.sampler.clip)
        print(f'Written to {args.out}')


if __name__ == '__main__':
    main()
