"""The boundary benchmark of BSDS500 as a metric."""

from collections.abc import Sequence

import numpy as np

from mmadm.evaluation.sample_fields import as_map, check_map, name_of, required
from mmadm.evaluation.threaded import ThreadedMetric
from mmadm.registry import METRICS

from .counts import count_matches, thresholds
from .nms import suppress_non_maxima
from .scores import summarize

#: Suffix of the results, by whether edges are suppressed, and thinned.
_PROTOCOLS = {
    (True, True): 'seval',
    (False, False): 'ceval',
    (False, True): 'thin',
    (True, False): 'nms',
}


def to_ridges(edges: np.ndarray, radius: int = 1, smooth: bool = True) -> np.ndarray:
    """Non-maximum suppression, rounded to 8 bits as its result is usually stored.

    Args:
        edges: (H, W), float in [0, 1].
        radius: see :func:`~mmadm.evaluation.edge.suppress_non_maxima`.
        smooth: likewise.
    """
    return np.rint(255 * suppress_non_maxima(edges, radius, smooth=smooth)) / 255


def crispness(edges: np.ndarray, radius: int = 1, smooth: bool = True) -> float:
    """Fraction of an edge map that survives suppression; NaN for an empty map.

    Its mean over the images is the average crispness AC.
    """
    total = edges.sum()
    if total == 0:
        return float('nan')
    return float(suppress_non_maxima(edges, radius, smooth=smooth).sum() / total)


@METRICS.register_module()
class EdgeMetric(ThreadedMetric):
    """ODS, OIS, AP and R50 of ``pred_img`` against all annotators' ``gt_edges``.

    The benchmark of BSDS500 with exact matching. Results end in '_seval' with
    suppression and thinning (the standard), in '_ceval' without both (the crisp
    protocol of DiffusionEdge), in '_thin' or '_nms' with one of them; average crispness
    is called 'ac'.

    Args:
        nms: apply non-maximum suppression. Switch it off where the maps are suppressed
            already.
        thin: thin the edges found at each threshold.
        radius: of the suppression; papers use 1, 2 or 4.
        smooth: blur a little before the suppression.
        max_dist: tolerance as a fraction of the diagonal; NYUD papers use 0.011.
        num_thresholds: equally spaced in (0, 1).
        num_workers: see :class:`~mmadm.evaluation.threaded.ThreadedMetric`.
        collect_device: see :class:`mmengine.evaluator.BaseMetric`.
        prefix: put before the names of the results.
    """

    def __init__(
        self,
        nms: bool = True,
        thin: bool = True,
        radius: int = 1,
        smooth: bool = True,
        max_dist: float = 0.0075,
        num_thresholds: int = 99,
        num_workers: int | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(num_workers, collect_device, prefix)
        if not 0 < max_dist < 1:
            raise ValueError(
                f'A tolerance is a fraction of the diagonal, but max_dist={max_dist}. '
                'Give 0.0075 for BSDS500.'
            )
        if num_thresholds < 2:
            raise ValueError(
                'A curve needs two thresholds at least, but num_thresholds='
                f'{num_thresholds}. Give 99, as papers do.'
            )
        if radius < 1:
            raise ValueError(
                f'Suppression looks at least one pixel away, but radius={radius}. Give '
                '1, or nms=False for none.'
            )
        self.nms = nms
        self.thin = thin
        self.radius = radius
        self.smooth = smooth
        self.max_dist = max_dist
        self.levels = thresholds(num_thresholds)

    def process(self, data_batch, data_samples: Sequence[dict]) -> None:
        """Match each sample in a thread."""
        for sample in data_samples:
            edges = required(sample, 'pred_img', 'EdgeMetric').cpu()
            gts = required(sample, 'gt_edges', 'EdgeMetric').cpu().numpy()
            if edges.shape[1:] != gts.shape[1:]:
                raise ValueError(
                    f'The edges of {name_of(sample)} have the size '
                    f'{tuple(edges.shape[1:])}, the annotated ones '
                    f'{gts.shape[1:]}. Test at the original size: pixels are matched '
                    'by position.'
                )
            self.submit(self.score, as_map(edges), gts)

    def score(self, edges: np.ndarray, gts: np.ndarray) -> tuple[np.ndarray, float]:
        """Counts (K, 4) and crispness of one map in [0, 1].

        Raises:
            ValueError: the map has NaN or values outside [0, 1].
        """
        check_map(edges)
        sharp = self.crispness(edges)
        if self.nms:
            edges = to_ridges(edges, self.radius, self.smooth)
        counts = count_matches(edges, gts, self.levels, self.max_dist, self.thin)
        return counts, sharp

    def crispness(self, edges: np.ndarray) -> float:
        """Fraction of the map that suppression leaves; NaN for an empty map."""
        return crispness(edges, self.radius, self.smooth)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """The scores of all images together."""
        counts, sharp = zip(*results)
        suffix = _PROTOCOLS[self.nms, self.thin]
        scores = summarize(np.array(counts), self.levels)
        named = {f'{key}_{suffix}': value for key, value in scores.items()}
        sharp = [value for value in sharp if not np.isnan(value)]
        return named | {'ac': float(np.mean(sharp)) if sharp else 0.0}
