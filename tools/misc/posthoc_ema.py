#!/usr/bin/env python
"""Make averaged weights of any averaging length after training (post-hoc EMA)."""

import argparse


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', help='power_ema in the work folder of a run')
    parser.add_argument('out_file', help='.pth file of weights')
    parser.add_argument(
        '--sigma-rel',
        type=float,
        required=True,
        help='length of the average as a fraction of the run, 0.01 to 0.25',
    )
    parser.add_argument('--iteration', type=int, help='its end; the last snapshot')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from pathlib import Path

    from mmadm.checkpoints import reconstruct_average, write_checkpoint
    from mmadm.utils.cli import readable_errors

    with readable_errors('Nothing was written.'):
        weights = reconstruct_average(args.folder, args.sigma_rel, args.iteration)
        write_checkpoint(dict(state_dict=weights), Path(args.out_file))
        print(f'Written to {args.out_file}')


if __name__ == '__main__':
    main()
