"""Edges: the boundary benchmark of BSDS500."""

from .counts import count_matches, thresholds
from .nms import suppress_non_maxima
from .scores import summarize

__all__ = ['count_matches', 'summarize', 'suppress_non_maxima', 'thresholds']
