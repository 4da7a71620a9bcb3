#!/usr/bin/env python
"""Draw the schedules of a config: learning rate, EMA, loss weights and time grid."""

import argparse

from mmadm.utils.cli import add_cfg_options


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file, or the name of a shipped config')
    parser.add_argument('--out', required=True, help='image file')
    parser.add_argument(
        '--num-steps',
        type=int,
        nargs='+',
        default=[5, 10],
        help='numbers of sampling steps whose time grids are drawn',
    )
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmadm.utils.cli import readable_errors

    with readable_errors('Nothing was written.'):
        from mmadm.apis import check_steps, load_config
        from mmadm.apis.schedules import schedule_panels
        from mmadm.visualization.curves import check_image_name, plot_panels

        check_image_name(args.out)
        check_steps(args.num_steps)
        cfg = load_config(args.config, args.cfg_options)
        plot_panels(schedule_panels(cfg, args.num_steps), args.out)
        print(f'Schedules written to {args.out}')


if __name__ == '__main__':
    main()
