#!/usr/bin/env python
"""Answer pictures with a trained model, and write what it answers."""

import argparse

from mmadm.diffusion import SAMPLER_PRESETS


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'input',
        help='a picture, or a folder of them; for unconditional models, how many '
        'pictures to draw',
    )
    parser.add_argument('config', help='config file, or name of a shipped config')
    parser.add_argument('--weights', required=True, help='checkpoint file')
    parser.add_argument('--out-dir', help='pred/, vis/ and trajectory/ go there')
    parser.add_argument(
        '--masks',
        help='for inpainting: a picture whose white is to be filled, or a folder of '
        'them with the names of the pictures',
    )
    parser.add_argument('--num-steps', type=int, help='network calls of each answer')
    parser.add_argument(
        '--sampler',
        choices=list(SAMPLER_PRESETS),
        help='in place of the sampler of the config',
    )
    parser.add_argument('--seed', type=int, help='seed of the first picture')
    parser.add_argument('--batch-size', type=int, default=1)
    parser.add_argument('--device', help='such as cpu or cuda:1; default: the best')
    parser.add_argument(
        '--trajectory', action='store_true', help='draw the ways from noise to answer'
    )
    parser.add_argument('--show', action='store_true', help='show answers in windows')
    args = parser.parse_args()
    if not (args.out_dir or args.show):
        parser.error('nothing would be seen: give --out-dir, --show or both')
    return args


def main() -> None:
    args = parse_args()
    from mmadm.utils.cli import readable_errors

    with readable_errors('What has been answered is in --out-dir.'):
        from mmadm.apis import ADMInferencer

        inferencer = ADMInferencer(args.config, args.weights, args.device)
        if inferencer.is_conditional:
            request = dict(inputs=args.input, masks=args.masks)
        else:
            request = dict(num_samples=number(args.input))
        inferencer(
            **request,
            batch_size=args.batch_size,
            num_steps=args.num_steps,
            sampler=args.sampler,
            seed=args.seed,
            trajectory=args.trajectory,
            show=args.show,
            out_dir=args.out_dir,
        )
        if args.out_dir:
            print(f'Written to {args.out_dir}')


def number(text: str) -> int:
    """How many pictures are to be drawn."""
    if not text.isdecimal():
        raise ValueError(
            'This model draws pictures out of nothing, but the first argument is '
            f'{text!r}. Give the number of pictures in its place.'
        )
    return int(text)


if __name__ == '__main__':
    main()
