#!/usr/bin/env python
"""Score a folder of saliency maps."""

import argparse


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('pred_dir', help='8-bit PNGs, of any size')
    parser.add_argument('gt_dir', help='masks, 255 (or 1) in the foreground')
    parser.add_argument(
        '--measures',
        nargs='+',
        choices=['mae', 'f', 'wf', 's', 'e'],
        default=['mae', 'f', 'wf', 's', 'e'],
        help='default: all',
    )
    parser.add_argument(
        '--protocol',
        choices=['original', 'bin384'],
        default='original',
        help="soft maps at the size of the masks, or the authors' script",
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
        from pathlib import Path

        import torch
        from mmengine.fileio import dump
        from rich.progress import track

        from mmadm.evaluation import SaliencyMetric
        from mmadm.evaluation.threaded import in_threads
        from mmadm.utils.files import atomic_write
        from mmadm.utils.image_files import pair_folders
        from mmadm.utils.images import read_grey, read_map, read_mask

        metric = SaliencyMetric(args.measures, args.protocol, args.normalize)
        pairs = pair_folders(
            args.pred_dir,
            args.gt_dir,
            partner_kind='ground truth',
            allow_extra=args.subset,
        )

        def score(pair: tuple[Path, Path]) -> dict:
            read_mask(pair[1])  # refuses class indices and other maps
            maps = read_grey(pair[0]), read_map(pair[1])
            return metric.score(*(torch.from_numpy(m.copy())[None] for m in maps))

        scoring = in_threads(score, pairs.values(), args.num_workers)
        results = list(track(scoring, 'Scoring', len(pairs)))
        scores = metric.compute_metrics(results)
        for key, value in scores.items():
            print(f'{key}: {value:.6f}')
        if args.out:
            with atomic_write(args.out) as part:
                dump(scores, part, file_format='json')
        print(f'{len(pairs)} images scored')


if __name__ == '__main__':
    main()
