"""Weights and inputs from formulas, so that the authors' outputs need no files.

The weights follow from the authors' names of them.
"""

import math
import zlib
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor, nn

# Last parts of names, ours -> theirs.
PARAMETERS = {'frequencies': 'W', 'gain': 'g', 'response': 'complex_weight'}


def formula(key: str, shape: torch.Size) -> Tensor:
    """The weights of one of the authors' names."""
    code = zlib.crc32(key.encode())
    phase = (code % 10000) / 10000 * 2 * math.pi
    frequency = 0.5 + ((code >> 16) % 1000) / 1000
    values = np.sin(frequency * (np.arange(math.prod(shape)) + 1) + phase)
    kind = key.rpartition('.')[2]
    if kind == 'running_var':
        values = 1 + 0.5 * np.abs(values)
    elif kind in ('running_mean', 'bias'):
        values = 0.1 * values
    elif kind == 'W':
        values = 4 * values
    elif len(shape) == 1 or kind == 'g':
        values = 1 + 0.1 * values
    else:
        values = values * math.sqrt(2 / math.prod(shape[1:]))
    return torch.tensor(values, dtype=torch.float32).view(shape)


def waves(
    shape: tuple, frequency: float, phase: float, amplitude: float = 1.0
) -> Tensor:
    """An input: one sine over all elements."""
    i = np.arange(math.prod(shape)) + 1
    values = amplitude * np.sin(frequency * i + phase)
    return torch.tensor(values, dtype=torch.float32).view(shape)


def authors_weights(
    module: nn.Module, names: Mapping[str, str], **parameters: str
) -> dict[str, Tensor]:
    """The authors' state dict for one of our networks, in our order.

    Args:
        module: our network.
        names: modules inside it, theirs -> ours.
        parameters: last parts of names, ours -> theirs, where not the usual ones.
    """
    parameters = PARAMETERS | parameters
    places = {ours: theirs for theirs, ours in names.items()}
    weights = {}
    for key, tensor in module.state_dict().items():
        place, _, kind = key.rpartition('.')
        path = (places.get(place, place), parameters.get(kind, kind))
        theirs = '.'.join(filter(None, path))
        if tensor.is_floating_point():
            tensor = formula(theirs, tensor.shape)
        weights[theirs] = tensor
    return weights


def load_block(module: nn.Module, names: Mapping[str, str]) -> nn.Module:
    """One of our blocks with the authors' weights, in evaluation mode."""
    weights = authors_weights(module, names).values()
    module.load_state_dict(dict(zip(module.state_dict(), weights, strict=True)))
    return module.eval()


def assert_golden(output: Tensor, golden: tuple) -> None:
    """Mean, standard deviation, sum of magnitudes and first values, as published."""
    mean, std, total, *first = golden
    output = output.double()
    assert output.abs().sum().item() == pytest.approx(total, rel=1e-5)
    assert output.std().item() == pytest.approx(std, rel=1e-5)
    assert output.mean().item() == pytest.approx(mean, rel=1e-4)
    assert output.flatten()[: len(first)].tolist() == pytest.approx(first, abs=2e-5)
