#!/usr/bin/env python
"""Plot logged values, or print how long training takes."""

import argparse
from statistics import mean, median


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    tasks = parser.add_subparsers(dest='task', required=True)
    plot = tasks.add_parser('plot_curve', help='draw curves')
    plot.add_argument('logs', nargs='+', help='work directories or scalars.json files')
    plot.add_argument(
        '--keys', nargs='+', default=['loss'], help='names of logged values'
    )
    plot.add_argument('--legend', nargs='+', help='a name for each log')
    plot.add_argument('--out', required=True, help='image file')
    time = tasks.add_parser('cal_train_time', help='seconds per iteration')
    time.add_argument('logs', nargs='+', help='work directories or scalars.json files')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmadm.utils.cli import readable_errors
    from mmadm.visualization.curves import name_runs, plot_curves, read_scalars

    with readable_errors('Nothing was written.'):
        names = name_runs(args.logs, getattr(args, 'legend', None))
        logs = dict(zip(names, map(read_scalars, args.logs)))
        if args.task == 'plot_curve':
            plot_curves(logs, args.keys, args.out)
            print(f'Curves written to {args.out}')
            return
        for name, lines in logs.items():
            times = [
                line['time'] for line in lines if 'time' in line and 'loss' in line
            ]
            if not times:
                raise ValueError(
                    f'No training time in {name}. Train at least one step.'
                )
            print(f'{name}: mean {mean(times):.4f} s, median {median(times):.4f} s')


if __name__ == '__main__':
    main()
