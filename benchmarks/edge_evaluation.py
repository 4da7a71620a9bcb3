#!/usr/bin/env python
"""Time to match edge maps: the package's solver and SciPy's, on the same maps.

    python benchmarks/edge_evaluation.py
    python benchmarks/edge_evaluation.py EDGES data/BSDS500/data/groundTruth/test

Without folders, edges are drawn. Both solve the same problem exactly; their numbers of
matches are compared. The runs alternate, so that a busy machine slows both, and medians
of CPU time are printed. Then all scores of one map (ODS) are timed.
"""

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from measure import (
    make_parser,
    print_medians,
    print_table,
    print_values,
    set_up,
    summary,
    take_turns,
)
from scipy.ndimage import gaussian_filter
from scipy.sparse import coo_matrix, hstack, identity
from scipy.sparse.csgraph import min_weight_full_bipartite_matching
from scipy.spatial import KDTree

from mmadm.evaluation import EdgeMetric
from mmadm.evaluation.edge import thresholds
from mmadm.evaluation.edge.matching import match
from mmadm.evaluation.edge.thinning import thin
from mmadm.utils.bsds import read_boundaries
from mmadm.utils.images import read_grey


def match_with_scipy(a: np.ndarray, b: np.ndarray, tolerance: float) -> int:
    """Number of pairs; each row may stay unmatched, in a column of its own."""
    rows, columns = sorted((np.argwhere(a), np.argwhere(b)), key=len)
    if len(rows) == 0:
        return 0
    near = KDTree(rows).sparse_distance_matrix(
        KDTree(columns), tolerance, output_type='coo_matrix'
    )
    # SciPy drops zeros: all costs are one higher.
    costs = np.rint(100 * near.data) + 1
    graph = coo_matrix((costs, (near.row, near.col)), near.shape)
    alone = identity(len(rows)) * (math.ceil(100 * 100 * tolerance) + 1)
    _, matched = min_weight_full_bipartite_matching(hstack([graph, alone]).tocsr())
    return np.count_nonzero(matched < len(columns))


def read_maps(args) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Suppressed edges in [0, 1], and those of the annotators, (A, H, W), bool."""
    for path in sorted(args.pred_dir.glob('*.png'))[: args.images]:
        gts = read_boundaries(args.gt_dir / f'{path.stem}.mat') != 0
        yield read_grey(path) / 255, gts


def draw_maps(args) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Borders of random regions: five annotators who see them a little shifted."""
    for seed in range(args.images):
        rng = np.random.default_rng(seed)
        height, width = 2 * args.side // 3, args.side
        regions = gaussian_filter(rng.normal(size=(height, width)), args.side / 30)
        regions = np.digitize(regions, np.quantile(regions, [0.3, 0.6, 0.8]))
        borders = np.abs(np.gradient(regions.astype(float))).sum(0) > 0
        shifts = rng.integers(-2, 3, (5, 2))
        gts = [thin(np.roll(borders, shift, (0, 1))) for shift in shifts]
        strength = gaussian_filter(borders.astype(float), 1)
        strength += gaussian_filter(rng.normal(size=borders.shape), 2)
        yield thin(borders) * strength.clip(0, 1), np.array(gts)


def seconds(function: Callable, *args) -> tuple[float, int]:
    start = time.process_time()
    result = function(*args)
    return time.process_time() - start, result


def main() -> None:
    parser = make_parser(__doc__.splitlines()[0], repeats=3)
    parser.add_argument(
        'pred_dir', nargs='?', type=Path, help='suppressed edge maps, 8-bit PNGs'
    )
    parser.add_argument('gt_dir', nargs='?', type=Path, help='.mat files of BSDS500')
    parser.add_argument('--images', type=int, default=5)
    parser.add_argument('--thresholds', type=int, default=9)
    parser.add_argument('--side', type=int, default=480, help='of drawn maps')
    args = parser.parse_args()
    set_up(args)

    times: dict[str, list[float]] = {'SciPy': [], 'mmadm': []}
    match(np.ones((4, 4), bool), np.ones((4, 4), bool), 2)  # compiles
    maps = list(read_maps(args) if args.gt_dir else draw_maps(args))
    for number, (edges, gts) in enumerate(maps):
        tolerance = 0.0075 * math.hypot(*edges.shape)
        for level in thresholds(args.thresholds):
            found = thin(edges >= level)
            for gt in gts:
                pair = found, gt, tolerance
                our_time, pairs = seconds(match, *pair)
                scipy_time, count = seconds(match_with_scipy, *pair)
                assert len(pairs) == count, (number, level)
                times['mmadm'].append(our_time)
                times['SciPy'].append(scipy_time)

    title = f'one of {len(times["mmadm"])} matchings, equal numbers of pairs'
    print_table({n: summary(t) for n, t in times.items()}, 'SciPy', title)
    print_values('seconds of all', {name: sum(t) for name, t in times.items()})

    edges, gts = maps[0]
    works = {
        f'{count} thresholds': lambda m=EdgeMetric(num_thresholds=count): m.score(
            edges, gts
        )
        for count in (99, args.thresholds)
    }
    timings = take_turns(works, args.repeats)
    print_medians('ODS: all counts of one map', timings)


if __name__ == '__main__':
    main()
