#!/usr/bin/env python
"""Time to match edge maps: the package's solver and SciPy's, on the same maps.

Both solve the same problem exactly; their numbers of matches are compared. The runs
alternate, so that a busy machine slows both, and medians of CPU time are printed.
"""

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from scipy.sparse import coo_matrix, hstack, identity
from scipy.sparse.csgraph import min_weight_full_bipartite_matching
from scipy.spatial import KDTree

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


def seconds(function: Callable, *args) -> tuple[float, int]:
    start = time.process_time()
    result = function(*args)
    return time.process_time() - start, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('pred_dir', type=Path, help='suppressed edge maps, 8-bit PNGs')
    parser.add_argument('gt_dir', type=Path, help='.mat files of BSDS500')
    parser.add_argument('--images', type=int, default=5)
    parser.add_argument('--thresholds', type=int, default=9)
    args = parser.parse_args()

    ours, scipys, problems = [], [], 0
    match(np.ones((4, 4), bool), np.ones((4, 4), bool), 2)  # compiles
    for path in sorted(args.pred_dir.glob('*.png'))[: args.images]:
        edges = read_grey(path) / 255
        gts = read_boundaries(args.gt_dir / f'{path.stem}.mat') != 0
        tolerance = 0.0075 * math.hypot(*edges.shape)
        for level in thresholds(args.thresholds):
            found = thin(edges >= level)
            for gt in gts:
                pair = found, gt, tolerance
                our_time, pairs = seconds(match, *pair)
                scipy_time, number = seconds(match_with_scipy, *pair)
                assert len(pairs) == number, (path.name, level)
                ours.append(our_time)
                scipys.append(scipy_time)
                problems += 1

    print(f'{problems} problems, all with the same number of matches')
    print(f'{"":10}{"median ms":>10}{"total s":>10}')
    for name, times in (('mmadm', ours), ('SciPy', scipys)):
        print(f'{name:10}{1000 * median(times):10.2f}{sum(times):10.2f}')
    ratios = median(s / o for s, o in zip(scipys, ours))
    print(f'ratio: median {ratios:.1f}, of totals {sum(scipys) / sum(ours):.1f}')


if __name__ == '__main__':
    main()
