"""Pictures for people: comparisons, grids, trajectories."""

from .visualizer import DiffusionVisualizer, columns

__all__ = ['DiffusionVisualizer', 'columns']
