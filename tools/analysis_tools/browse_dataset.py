#!/usr/bin/env python
"""Look at what a data set hands to the model, or at how long it takes."""

import argparse

from mmadm.utils.cli import OptionsAction


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file, with or without a model')
    parser.add_argument('--mode', choices=['train', 'val', 'test'], default='train')
    parser.add_argument('--out', help='folder for pictures')
    parser.add_argument(
        '--number', type=int, default=8, help='how many items, evenly spread'
    )
    parser.add_argument(
        '--timing', action='store_true', help='time each step, and the dataloader'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=OptionsAction,
        help='override entries of the config: key=value, nested keys with dots',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmadm.utils.cli import readable_errors

    with readable_errors('Pictures written so far are whole.'):
        if args.number < 1 or not (args.out or args.timing):
            raise ValueError(
                f'Nothing to do: --number {args.number}, no --out, no --timing. Ask '
                'for at least one picture with --out, or for --timing.'
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
            print(f'{len(written)} pictures written to {args.out}')
        if args.timing:
            print(timing_report(time_transforms(dataset, args.number)))
            rate = time_loader(cfg, args.number)
            print(
                f'dataloader, {cfg.get("num_workers", 0)} workers, batches of '
                f'{cfg.batch_size}: {rate:.1f} images/s'
            )


if __name__ == '__main__':
    main()
