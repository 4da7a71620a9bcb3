"""Evaluation: Frechet distance and saliency measures, against direct computation.

    python benchmarks/evaluation.py
    python benchmarks/evaluation.py --features 2048 --images 1000 2000 4000 8000

The Frechet distance is compared with the square root of the product of both
covariances (SciPy's ``sqrtm``), the curve of the F-measure with one threshold after the
other; results are equal. Then the growth with the number of images is fitted.
"""

import numpy as np
import scipy.linalg
import torch
from measure import (
    make_parser,
    print_growth,
    print_medians,
    print_table,
    print_values,
    set_up,
    take_turns,
)
from torch import Tensor

from mmadm.evaluation.frechet import (
    FeatureStatistics,
    StreamingMoments,
    frechet_distance,
)
from mmadm.evaluation.saliency import score_map
from mmadm.evaluation.saliency_measures import f_curve


def statistics(features: Tensor) -> FeatureStatistics:
    """Mean and covariance, from batches of at most 500."""
    moments = StreamingMoments(features.shape[1])
    for batch in features.split(500):
        moments.add(batch)
    return moments.statistics()


def with_sqrtm(a: FeatureStatistics, b: FeatureStatistics) -> float:
    """The formula as it is written."""
    root = scipy.linalg.sqrtm((a.cov @ b.cov).numpy())
    shift = (a.mean - b.mean).square().sum()
    return float(shift + a.cov.trace() + b.cov.trace() - 2 * np.trace(root).real)


def f_by_threshold(levels: np.ndarray, gt: np.ndarray) -> np.ndarray:
    """F-measure (beta^2 = 0.3) at the thresholds 0 to 255, one after the other."""
    scores = []
    for threshold in range(256):
        found = levels >= threshold
        hits = np.count_nonzero(found & gt)
        precision = hits / max(np.count_nonzero(found), 1)
        recall = hits / max(np.count_nonzero(gt), 1)
        below = 0.3 * precision + recall
        scores.append(1.3 * precision * recall / below if below else 0.0)
    return np.array(scores)


def compare_distances(args) -> None:
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(args.features, args.features, generator=generator)
    mix = mix / args.features**0.5

    def features(number: int) -> Tensor:
        return torch.randn(number, args.features, generator=generator) @ mix

    a, b = (statistics(features(2 * args.features) + shift) for shift in (0.0, 0.1))
    results, ways = (
        {},
        {'SciPy sqrtm': with_sqrtm, 'frechet_distance': frechet_distance},
    )

    def run(name: str) -> None:
        results[name] = ways[name](a, b)

    timings = take_turns({n: lambda n=n: run(n) for n in ways}, args.repeats)
    print_table(timings, 'SciPy sqrtm', f'Frechet distance, {args.features} features')
    print_values('Frechet distance', results)

    sets = {number: features(number) for number in args.images}
    works = {
        f'{number} images': lambda x=x: statistics(x) for number, x in sets.items()
    }
    timings = take_turns(works, args.repeats)
    milliseconds = [1e3 * timing.median for timing in timings.values()]
    print_growth('ms of mean and covariance', 'images', args.images, milliseconds)


def compare_saliency(args) -> None:
    y, x = np.mgrid[: args.side, : args.side] / args.side - 0.5
    gt = x**2 + 2 * y**2 < 0.1
    noise = np.random.default_rng(0).normal(0, 0.2, gt.shape)
    pred = (1 / (1 + np.exp(40 * (x**2 + 2 * y**2 - 0.12)) + abs(noise))).clip(0, 1)
    levels, results = (255 * pred).astype(np.uint8), {}
    ways = {'one threshold after the other': f_by_threshold, 'f_curve': f_curve}

    def run(name: str) -> None:
        results[name] = ways[name](levels, gt)

    timings = take_turns({n: lambda n=n: run(n) for n in ways}, args.repeats)
    title = f'F-measure at 256 thresholds, {args.side}x{args.side}'
    print_table(timings, 'one threshold after the other', title)
    slow, fast = results.values()
    print_values('largest difference', {'f_curve': float(np.abs(slow - fast).max())})

    measures = {
        'all saliency measures': ('mae', 'f', 'wf', 's', 'e'),
        **{name: (name,) for name in ('mae', 'f', 'wf', 's', 'e')},
    }
    works = {
        name: lambda names=names: score_map(pred, gt, names)
        for name, names in measures.items()
    }
    timings = take_turns(works, args.repeats)
    print_medians(f'one map of {args.side}x{args.side}', timings)


def main() -> None:
    parser = make_parser(__doc__.splitlines()[0], repeats=5)
    parser.add_argument('--features', type=int, default=512)
    parser.add_argument('--images', type=int, nargs='+', default=[1000, 2000, 4000])
    parser.add_argument('--side', type=int, default=320, help='of the saliency maps')
    args = parser.parse_args()
    set_up(args)
    compare_distances(args)
    print()
    compare_saliency(args)


if __name__ == '__main__':
    main()
