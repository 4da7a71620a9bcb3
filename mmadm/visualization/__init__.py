"""Figures of samples: comparisons, grids, sampling trajectories, curves."""

from .backends import MLflowBackend
from .trajectory import TrajectoryStep, draw_trajectory
from .visualizer import DiffusionVisualizer, columns

__all__ = [
    'DiffusionVisualizer',
    'MLflowBackend',
    'TrajectoryStep',
    'columns',
    'draw_trajectory',
]
