#!/usr/bin/env python
"""Draw the inputs that a dataset gives to the model, or time its pipeline."""

import argparse

from mmadm.utils.cli import add_cfg_options


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file, with or without a model')
    parser.add_argument('--mode', choices=['train', 'val', 'test'], default='train')
    parser.add_argument('--out', help='folder for the images')
    parser.add_argument(
        '--number', type=int, default=8, help='number of items, evenly spaced'
    )
    parser.add_argument(
        '--timing', action='store_true', help='time each transform, and the dataloader'
    )
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmadm.utils.cli import readable_errors

    with readable_errors('Images written so far are complete.'):
        if args.number < 1 or not (args.out or args.timing):
            raise ValueError(
                f'Nothing to do: --number {args.number}, --out {args.out} and no '
                '--timing. Give a positive --number, and --out or --timing.'
            )
        from mmadm.apis.browse import (
            browse,
            build,
            dataloader_config,
            time_loader,
            time_transforms,
            timing_report,
        )

        cfg = dataloader_config(args.config, args.mode, args.cfg_options)
        dataset = build(cfg)
        print(f'{len(dataset)} items')
        if args.out:
            written = browse(dataset, args.out, args.number)
            print(f'{len(written)} images written to {args.out}')
        if args.timing:
            print(timing_report(time_transforms(dataset, args.number)))
            rate = time_loader(cfg, args.number)
            print(
                f'dataloader, {cfg.get("num_workers", 0)} workers, batches of '
                f'{cfg.batch_size}: {rate:.1f} images/s'
            )


if __name__ == '__main__':
    main()
