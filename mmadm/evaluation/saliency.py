"""Metric of saliency maps."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from mmadm.registry import METRICS
from mmadm.utils import as_names, enlarge

from . import saliency_measures as measure
from .sample_fields import as_map, check_map, required
from .threaded import ThreadedMetric

# Mask pixels brighter than this are foreground.
_HALF = 128 / 255

Scores = dict[str, float | np.ndarray]


def _curves(name: str, at_levels: Callable, adaptive: Callable) -> Callable:
    def scores(pred: np.ndarray, gt: np.ndarray) -> Scores:
        # Truncated, as in the reference implementations.
        levels = (pred * 255).astype(np.uint8)
        return {name: at_levels(levels, gt), f'adp_{name}': adaptive(pred, gt)}

    return scores


def _single(name: str, function: Callable) -> Callable:
    return lambda pred, gt: {name: function(pred, gt)}


_MEASURES: dict[str, Callable[[np.ndarray, np.ndarray], Scores]] = {
    'mae': _single('mae', measure.mae),
    'f': _curves('f', measure.f_curve, measure.f_adaptive),
    'wf': _single('wf', measure.weighted_f),
    's': _single('s', measure.s_measure),
    'e': _curves('e', measure.e_curve, measure.e_adaptive),
}


def score_map(
    pred: np.ndarray, gt: np.ndarray, measures: Sequence[str] = tuple(_MEASURES)
) -> Scores:
    """Scores of one map; 'f' and 'e' are curves over the thresholds 0 to 255.

    Args:
        pred: (H, W), float64 in [0, 1].
        gt: (H, W), bool.
        measures: which of 'mae', 'f', 'wf', 's' and 'e'.

    Raises:
        ValueError: the map has NaN or values outside [0, 1].
    """
    check_map(pred)
    scores = [_MEASURES[name](pred, gt) for name in measures]
    return {key: value for part in scores for key, value in part.items()}


def average(results: Sequence[Scores]) -> dict[str, float]:
    """Means over the images; a mean curve gives its maximum and its mean."""
    means = {}
    for key in results[0]:
        mean = np.mean([scores[key] for scores in results], axis=0)
        if mean.ndim:
            means |= {
                f'max_{key}': float(mean.max()),
                f'mean_{key}': float(mean.mean()),
            }
        else:
            means[key] = float(mean)
    return means


def stretch(pred: np.ndarray) -> np.ndarray:
    """Stretch to [0, 1] as MATLAB's ``mapminmax``; a constant map is unchanged."""
    low, high = pred.min(), pred.max()
    return pred if low == high else (pred - low) / (high - low)


def _original(pred: Tensor, gt: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The mask as it is, and the 8-bit prediction resized to it."""
    pred = enlarge(pred, gt.shape[-2:])
    return as_map(pred), as_map(gt) > _HALF


def _bin384(pred: Tensor, gt: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Both at 384 x 384 and binary."""
    size = (384, 384)
    smaller = F.interpolate(gt[None].float(), size, mode='bilinear', antialias=True)
    return (as_map(enlarge(pred, size)) > 0.5).astype(float), as_map(smaller[0]) > 0.5


_PROTOCOLS = {'original': _original, 'bin384': _bin384}


@METRICS.register_module()
class SaliencyMetric(ThreadedMetric):
    """Saliency scores of ``pred_img`` against the mask ``gt_img``, mean over images.

    Results are called 'mae', 'max_f', 'mean_f', 'adp_f', 'wf', 's', 'max_e', 'mean_e'
    and 'adp_e', followed by what is not the standard: 'mae_minmax', 'mae_bin384'.

    Args:
        measures: which of 'mae', 'f' (beta^2 = 0.3), 'wf' (weighted F), 's' and 'e'.
        protocol: 'original', the standard: the prediction is resized to the mask
            (bilinear) and rounded to 8 bits. 'bin384', the authors' script: the
            prediction is thresholded at 0.5 first, and all is scored at 384 x 384. MAE
            is then the fraction of wrong pixels, usually a lower number.
        normalize: 'minmax' stretches each prediction to [0, 1] first, as PySODMetrics
            and the MATLAB toolboxes do.
        num_workers: see :class:`~mmadm.evaluation.threaded.ThreadedMetric`.
        collect_device: see :class:`mmengine.evaluator.BaseMetric`.
        prefix: put before the names of the results.
    """

    def __init__(
        self,
        measures: str | Sequence[str] = tuple(_MEASURES),
        protocol: Literal['original', 'bin384'] = 'original',
        normalize: Literal['minmax'] | None = None,
        num_workers: int | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(num_workers, collect_device, prefix)
        measures = as_names(measures)
        unknown = set(measures) - set(_MEASURES)
        if unknown:
            raise ValueError(
                f'Unknown measures {sorted(unknown)}. Use some of {sorted(_MEASURES)}.'
            )
        if protocol not in _PROTOCOLS:
            raise ValueError(
                f'Unknown protocol {protocol!r}. Use one of {sorted(_PROTOCOLS)}.'
            )
        if normalize not in (None, 'minmax'):
            raise ValueError(
                f"Unknown normalize={normalize!r}. Use 'minmax', or None to score maps "
                'as they are.'
            )
        self.measures = measures
        self.protocol = protocol
        self.normalize = normalize

    def process(self, data_batch, data_samples: Sequence[dict]) -> None:
        """Score each sample in a thread."""
        for sample in data_samples:
            pred, mask = (
                required(sample, key, 'SaliencyMetric').cpu()
                for key in ('pred_img', 'gt_img')
            )
            self.submit(self.score, pred, mask)

    def score(self, pred: Tensor, gt: Tensor) -> Scores:
        """Scores of one prediction (C, H, W), uint8; the mask may have another size."""
        pred, gt = _PROTOCOLS[self.protocol](pred, gt)
        if self.normalize == 'minmax':
            pred = stretch(pred)
        return score_map(pred, gt, self.measures)

    def compute_metrics(self, results: list[Scores]) -> dict[str, float]:
        """Means over the images."""
        suffix = {'original': '', 'bin384': '_bin384'}[self.protocol]
        suffix += f'_{self.normalize}' if self.normalize else ''
        return {key + suffix: value for key, value in average(results).items()}
