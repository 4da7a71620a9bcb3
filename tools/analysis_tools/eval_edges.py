#!/usr/bin/env python
"""Score a folder of edge maps by the benchmark of BSDS500."""

import argparse


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('pred_dir', help='8-bit PNGs of the original size')
    parser.add_argument(
        'gt_dir', help='.mat files of BSDS500 (all annotators), or PNGs'
    )
    parser.add_argument(
        '--out', required=True, help='folder of the results, in the official files'
    )
    parser.add_argument(
        '--crisp',
        action='store_true',
        help='the crisp protocol (CEval): same as --no-nms --no-thin',
    )
    parser.add_argument(
        '--nms',
        action=argparse.BooleanOptionalAction,
        default=True,
        help='apply non-maximum suppression; --no-nms where that has been done',
    )
    parser.add_argument(
        '--thin',
        action=argparse.BooleanOptionalAction,
        default=True,
        help='thin the edges at each threshold',
    )
    parser.add_argument(
        '--smooth',
        action=argparse.BooleanOptionalAction,
        default=True,
        help='blur a little before the suppression',
    )
    parser.add_argument(
        '--radius', type=int, default=1, help='of the suppression, in pixels'
    )
    parser.add_argument(
        '--max-dist', type=float, default=0.0075, help='fraction of the diagonal'
    )
    parser.add_argument(
        '--thresholds', type=int, default=99, help='number, equally spaced'
    )
    parser.add_argument(
        '--subset',
        action='store_true',
        help='leave out ground truths without a prediction',
    )
    parser.add_argument('--num-workers', type=int, help='default: one per core')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmadm.utils.cli import readable_errors

    with readable_errors('Run it again: images that were counted are kept.'):
        from pathlib import Path

        import numpy as np
        from rich.progress import track

        from mmadm.evaluation.edge import folder, precision_recall
        from mmadm.evaluation.threaded import in_threads
        from mmadm.utils.image_files import pair_folders
        from mmadm.visualization.precision_recall import plot_precision_recall

        settings = folder.Settings(
            nms=args.nms and not args.crisp,
            thin=args.thin and not args.crisp,
            radius=args.radius,
            smooth=args.smooth,
            max_dist=args.max_dist,
            num_thresholds=args.thresholds,
        )
        out = Path(args.out)
        pairs = pair_folders(
            args.pred_dir, args.gt_dir, folder.GT_SUFFIXES, 'ground truth', args.subset
        )
        checks = in_threads(folder.check_pair, pairs.values(), args.num_workers)
        for _ in track(checks, 'Checking', len(pairs)):
            pass
        folder.claim(out, settings, args.pred_dir, args.gt_dir)
        counting = folder.count_folder(pairs, out, settings, args.num_workers)
        counts, sharp = zip(*track(counting, 'Matching', len(pairs)))

        counts = np.array(counts)
        scores = folder.write_report(out, counts, sharp, settings)
        for key, value in scores.items():
            print(f'{key}: {value:.6f}')
        recall, precision, _ = precision_recall(counts.sum(axis=0))
        ods = next(iter(scores.values()))
        name = f'{Path(args.pred_dir).name} (ODS {ods:.3f})'
        plot_precision_recall({name: (recall, precision)}, out / 'eval_bdry.png')
        print(f'{len(pairs)} images; results written to {out}')


if __name__ == '__main__':
    main()
