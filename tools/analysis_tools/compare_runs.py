#!/usr/bin/env python
"""Print a table of several runs: time, losses, scores, and settings that differ."""

import argparse


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('work_dirs', nargs='+', help='work directories of trainings')
    parser.add_argument('--legend', nargs='+', help='a name for each run')
    parser.add_argument('--out', help='file for the table (.md) or its values (.json)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmadm.utils.cli import readable_errors

    with readable_errors('Nothing was written.'):
        from mmengine.fileio import dump

        from mmadm.apis.run_table import (
            describe_run,
            differences,
            read_config,
            run_table,
        )
        from mmadm.utils.files import atomic_write
        from mmadm.visualization.curves import name_runs

        if args.out and not args.out.endswith(('.md', '.json')):
            raise ValueError(
                f'The table is Markdown or JSON, but --out {args.out}. Give a file '
                'name that ends in .md or .json.'
            )
        names = name_runs(args.work_dirs, args.legend)
        runs = {n: describe_run(path) for n, path in zip(names, args.work_dirs)}
        configs = {n: read_config(path) for n, path in zip(names, args.work_dirs)}
        different = differences(configs)
        table = run_table(runs, different)
        print(table)
        if args.out:
            with atomic_write(args.out) as part:
                if args.out.endswith('.md'):
                    part.write_text(f'{table}\n')
                else:
                    values = dict(runs=runs, different=different)
                    dump(values, part, file_format='json')


if __name__ == '__main__':
    main()
