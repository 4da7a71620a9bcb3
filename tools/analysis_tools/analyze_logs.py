#!/usr/bin/env python
"""Plot logged numbers, or say how long training takes."""

import argparse
from pathlib import Path
from statistics import mean, median


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    tasks = parser.add_subparsers(dest='task', required=True)
    plot = tasks.add_parser('plot_curve', help='draw curves')
    plot.add_argument('logs', nargs='+', help='work directories or scalars.json files')
    plot.add_argument('--keys', nargs='+', default=['loss'], help='numbers to draw')
    plot.add_argument('--legend', nargs='+', help='names of the logs')
    plot.add_argument('--out', required=True, help='picture file')
    time = tasks.add_parser('cal_train_time', help='seconds per iteration')
    time.add_argument('logs', nargs='+', help='work directories or scalars.json files')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmadm.utils.cli import readable_errors
    from mmadm.visualization.curves import plot_curves, read_scalars

    with readable_errors():
        logs = {path: read_scalars(path) for path in args.logs}
        if args.task == 'plot_curve':
            names = args.legend or [Path(path).name for path in logs]
            plot_curves(dict(zip(names, logs.values())), args.keys, args.out)
            print(f'Curves written to {args.out}')
            return
        for path, lines in logs.items():
            times = [
                line['time'] for line in lines if 'time' in line and 'loss' in line
            ]
            if not times:
                raise ValueError(
                    f'No training time in {path}. Train at least one step.'
                )
            print(f'{path}: mean {mean(times):.4f} s, median {median(times):.4f} s')


if __name__ == '__main__':
    main()
