"""Edge detection: the boundary benchmark of BSDS500."""

from .counts import count_matches, thresholds
from .metric import EdgeMetric, crispness, to_ridges
from .nms import suppress_non_maxima
from .scores import precision_recall, summarize

__all__ = [
    'EdgeMetric',
    'count_matches',
    'crispness',
    'precision_recall',
    'summarize',
    'suppress_non_maxima',
    'thresholds',
    'to_ridges',
]
