"""Deployment: a model as one graph that runs without PyTorch, and its runtimes."""

from .export import export_model
from .graph_file import GraphFacts
from .runtimes import BACKENDS, Runtime, is_graph_file, open_graph

__all__ = [
    'BACKENDS',
    'GraphFacts',
    'Runtime',
    'export_model',
    'is_graph_file',
    'open_graph',
]
