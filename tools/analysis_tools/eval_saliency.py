#!/usr/bin/env python
"""Score a folder of saliency maps."""

import argparse


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('pred_dir', help='8-bit PNGs, of any size')
    parser.add_argument('gt_dir', help='masks, 255 where something stands out')
    parser.add_argument(
        '--measures',
        nargs='+',
        choices=['mae', 'f', 'wf', 's', 'e'],
        default=['mae', 'f', 'wf', 's', 'e'],
        help='what to measure',
    )
    parser.add_argument(
        '--protocol',
        choices=['original', 'bin384'],
        default='original',
        help="the masks' size and soft maps, or what the authors' script does",
    )
    parser.add_argument(
        '--normalize', choices=['minmax'], help='stretch each map to 0..1 first'
    )
    parser.add_argument('--out', help='scores as JSON')
    parser.add_argument(
        '--subset', action='store_true', help='leave out masks without a prediction'
    )
    parser.add_argument('--num-workers', type=int, help='default: one per core')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmadm.utils.cli import readable_errors

    with readable_errors('Nothing was written.'):
        import torch
        from mmengine.fileio import dump
        from rich.progress import track

        from mmadm.evaluation import SaliencyMetric
        from mmadm.evaluation.folders import Pair, find_pairs, in_threads, read_grey
        from mmadm.utils.files import atomic_write

        metric = SaliencyMetric(args.measures, args.protocol, args.normalize)
        pairs = find_pairs(args.pred_dir, args.gt_dir, subset=args.subset)

        def score(pair: Pair) -> dict:
            maps = read_grey(pair.pred), read_grey(pair.truth)
            return metric.score(*(torch.from_numpy(m.copy())[None] for m in maps))

        scoring = in_threads(score, pairs, args.num_workers)
        results = list(track(scoring, 'Scoring', len(pairs)))
        scores = metric.compute_metrics(results)
        for key, value in scores.items():
            print(f'{key}: {value:.6f}')
        if args.out:
            with atomic_write(args.out) as part:
                dump(scores, part, file_format='json')
        print(f'{len(pairs)} pictures scored')


if __name__ == '__main__':
    main()
