"""Pictures for people: comparisons, grids, trajectories."""

from .trajectory import draw_trajectory
from .visualizer import DiffusionVisualizer, columns

__all__ = ['DiffusionVisualizer', 'columns', 'draw_trajectory']
