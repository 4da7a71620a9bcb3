"""Fits the coefficients of :class:`mmadm.diffusion.FittedSampler` to a model."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from torch import Tensor

from mmadm.diffusion.fitted import fit
from mmadm.diffusion.grids import EqualStepGrid, UniformGrid, UniformSigmaGrid
from mmadm.registry import SAMPLERS
from mmadm.utils import SampleNoise, mix_seed
from mmadm.utils.files import atomic_write, read_json

from .inferencer import ADMInferencer

#: The grids that are tried; their times are fixed. With few steps, equal ones are best:
#: the others spend their last evaluation at ``t_min``, where little is left to do.
GRIDS = (UniformGrid(), UniformSigmaGrid(), EqualStepGrid())


class Fitted(NamedTuple):
    """Mean squared distances to the images of many steps, and the coefficients."""

    num_steps: int
    deterministic: float
    fitted: float
    table: dict


def fit_sampler(
    model: ADMInferencer,
    steps: Sequence[int],
    inputs: Any = None,
    number: int = 8,
    fine_steps: int = 50,
    iterations: int = 150,
    seed: int = 1,
    masks: Any = None,
) -> Iterator[Fitted]:
    """Fit samplers of few steps to the images that a fine sampler makes of some noise.

    No ground truth is used. Memory grows with the number of steps, as in training.

    Args:
        model: the trained model.
        steps: numbers of steps, one fit for each.
        inputs: the input images of a conditional model; those of the most frequent size
            are used.
        number: how many images.
        fine_steps: steps of the deterministic multistep sampler that is the goal.
        iterations: steps of the optimiser.
        seed: of the noise; another one than that of tests.
        masks: the holes of the inputs, for inpainting.
    """
    network, process = model.model, model.model.process
    network.requires_grad_(False)
    condition, size = _conditions(model, inputs, number, masks)
    height, width = network.data_preprocessor.padded(size)
    shape = (network.state_channels, height // network.factor, width // network.factor)
    count = number if condition is None else len(condition)
    seeds = [mix_seed(seed, i) for i in range(count)]
    device = network.data_preprocessor.device
    noise = SampleNoise(seeds, shape, device, torch.float32)()
    with torch.no_grad():
        denoise = network.denoiser(condition)
        fine = SAMPLERS.build(dict(type='MultistepSampler', num_steps=fine_steps))
        target = fine(denoise, process, lambda: noise)
    x_1 = process.initial_std * noise
    for num_steps in steps:
        with torch.no_grad():
            plain = dict(type='ADMSampler', eta=0.0, correct=False, num_steps=num_steps)
            images = SAMPLERS.build(plain)(denoise, process, lambda: noise)
        before = (images - target).square().mean().item()
        options = dict(iterations=iterations, report=_report)
        fits = [
            fit(process, denoise, x_1, target, grid, num_steps, **options)
            for grid in GRIDS
        ]
        table, error = min(fits, key=lambda pair: pair[1])
        print_log(
            f'{num_steps} steps: mean squared distance to {fine_steps} steps '
            f'{before:.3g} (deterministic), {error:.3g} (fitted).',
            'current',
        )
        yield Fitted(num_steps, before, error, table)


def _report(iteration: int, error: float) -> None:
    if iteration % 25 == 0:
        print_log(
            f'Iteration {iteration}: mean squared distance {error:.3g}.', 'current'
        )


def write_sampler(path: str | Path, fits: Sequence[Fitted], clip: float | None) -> None:
    """Write the config of the sampler, for :func:`use_fitted_sampler`."""
    tables = [result.table for result in fits]
    config = dict(type='FittedSampler', tables=tables, clip=clip)
    with atomic_write(path) as part:
        part.write_text(json.dumps(config, indent=1))


def use_fitted_sampler(cfg: Config, path: str | Path) -> None:
    """Replace the sampler of the config by a fitted one, in place.

    Raises:
        ValueError: the file holds no fitted sampler.
    """
    sampler = read_json(path)
    if sampler.get('type') != 'FittedSampler':
        raise ValueError(
            f'Not a fitted sampler: {path} has type={sampler.get("type")!r}. Write one '
            'with tools/analysis_tools/fit_sampler.py.'
        )
    cfg.model.sampler = sampler


def _conditions(
    model: ADMInferencer, inputs: Any, number: int, masks: Any
) -> tuple[Tensor | None, tuple[int, int]]:
    """Conditions of one size, and the size of the images."""
    if not model.is_conditional:
        batches = model.preprocess(inputs, masks=masks, num_samples=1)
        return None, tuple(next(iter(batches))['data_samples'][0].target_shape)
    groups = defaultdict(list)
    for batch in model.preprocess(inputs, masks=masks):
        data = model.model.data_preprocessor(batch)
        size = tuple(data['data_samples'][0].target_shape)
        groups[size] += data['inputs']['condition']
    size = max(groups, key=lambda key: len(groups[key]))
    return torch.stack(groups[size][:number]), size
