#!/usr/bin/env python
"""Print the parameters, multiply-accumulates and training memory of configs."""

import argparse

from mmadm.utils.cli import OptionsAction


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('configs', nargs='+', help='config files')
    parser.add_argument(
        '--shape',
        type=int,
        nargs=2,
        metavar=('HEIGHT', 'WIDTH'),
        help='size of the image; default: that of the training pipeline',
    )
    parser.add_argument(
        '--num-steps',
        type=int,
        nargs='+',
        default=[5, 10],
        help='numbers of sampling steps (network evaluations per image)',
    )
    parser.add_argument('--out', help='JSON file for the numbers')
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

    with readable_errors():
        from dataclasses import asdict

        from mmengine.fileio import dump

        from mmadm.apis import check_steps, load_config
        from mmadm.apis.complexity import image_size, measure, overview, report

        check_steps(args.num_steps)
        costs = {}
        for path in args.configs:
            cfg = load_config(path, args.cfg_options)
            complexity = measure(cfg.model, args.shape or image_size(cfg))
            print(f'\n{path}\n{report(complexity, args.num_steps)}')
            costs[path] = complexity
        if len(costs) > 1:
            print(f'\n{overview(costs, args.num_steps[-1])}')
        if args.out:
            dump({path: asdict(cost) for path, cost in costs.items()}, args.out)


if __name__ == '__main__':
    main()
