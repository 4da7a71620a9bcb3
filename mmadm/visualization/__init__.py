"""Pictures for people: comparisons, grids, trajectories."""

from .backends import MLflowBackend
from .trajectory import draw_trajectory
from .visualizer import DiffusionVisualizer, columns

__all__ = ['DiffusionVisualizer', 'MLflowBackend', 'columns', 'draw_trajectory']
