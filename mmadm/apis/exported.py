"""Exported models in the inferencer."""

from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.device import get_device
from torch import nn

from mmadm.deployment import Runtime, is_graph_file, open_graph
from mmadm.registry import MODELS


def open_exported(
    model: str | Path | Config | dict,
    weights: Any,
    backend: str | None,
    device: str | torch.device | None,
    precision: str,
) -> Runtime | None:
    """The exported graph, if ``model`` names one.

    Raises:
        ImportError: the runtime is not installed.
        ValueError: weights are given for a graph, or a backend for another model.
    """
    if is_graph_file(model):
        if weights is not None:
            raise ValueError(
                f'An exported model has its weights inside, but weights={weights} are '
                f'given with {model}. Leave them out, or export the model again.'
            )
        return open_graph(model, backend, device or get_device(), precision)
    if backend not in (None, 'torch'):
        raise ValueError(
            f'backend={backend!r} runs exported models, but the model is {model}. '
            'Export it with tools/deployment/export.py, and give the .onnx file.'
        )
    return None


def exported_model(graph: Runtime, cfg: ConfigDict) -> nn.Module:
    """The graph with the preprocessing and the windows of its config."""
    settings = dict(
        type='ExportedADM',
        graph=graph,
        data_preprocessor=cfg.model.get(
            'data_preprocessor', dict(type='DiffusionPreprocessor')
        ),
        test_cfg=graph.facts.test_cfg(cfg.model.get('test_cfg') or {}),
        **graph.facts.model_arguments(),
    )
    return MODELS.build(settings).eval()
