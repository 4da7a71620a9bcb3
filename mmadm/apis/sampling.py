"""A model with the options of one call: the model itself stays as it is.

Several threads may therefore sample with one model, each with its own options.
"""

import logging
from collections.abc import Callable, Sequence
from copy import copy
from numbers import Integral
from typing import Any

from mmengine.logging import print_log
from torch import Tensor

from mmadm.diffusion.presets import sampler_preset
from mmadm.registry import SAMPLERS
from mmadm.structures import DiffusionSample

from .memory import MemoryEstimate
from .step_sweep import check_steps

#: Side of the windows of large images, in pixels of the prediction.
WINDOW = 512
# Entries of ``test_cfg`` that windows have.
_WINDOW_OPTIONS = ('crop', 'stride', 'blend', 'batch')


class SamplingStoppedError(RuntimeError):
    """Raised between two sampling steps, because the caller wants no result."""


def with_options(model, config: dict, sampler: str | None, **options: int | None):
    """A copy of the model that shares its weights, with other options of sampling.

    Args:
        model: an :class:`mmadm.models.ADM`.
        config: of the model.
        sampler: name of a preset, or None.
        options: ``num_steps``, ``seed`` and ``num_samples``; None for the model's own.

    Raises:
        ValueError: an option has a wrong value.
    """
    options = {key: value for key, value in options.items() if value is not None}
    check_steps([options.get('num_steps', 1)])
    check_integer('seed', options.get('seed', 0))
    check_integer('num_samples', options.get('num_samples', 1), 1)
    model = copy(model)
    model.test_cfg = {**model.test_cfg, **options}
    if sampler is not None:
        preset, _ = sampler_preset(sampler, config.get('sampler'))
        model.sampler = SAMPLERS.build(preset)
    return model


def set_mode(
    model,
    samples: Sequence[DiffusionSample],
    condition: Sequence[Tensor],
    mode: str | None,
    window: int | None,
    memory: MemoryEstimate,
) -> None:
    """Set the sampling mode: the given one, or one that fits into the memory.

    Args:
        model: a copy by :func:`with_options`.
        samples: the batch.
        condition: of the samples.
        mode: 'whole', 'slide' or 'slide_chains'; None takes the config's, or windows
            where the images need more memory than is free, which is logged.
        window: side of the windows in pixels of the prediction.
        memory: what the model needs.

    Raises:
        ValueError: the mode is unknown, or does not fit the window.
    """
    if mode is None and window is None:
        if model.test_cfg.get('mode', 'whole') != 'whole':
            return
        shortage = memory.shortage(samples, condition)
        if shortage is None:
            return
        print_log(
            f'{shortage} They are sampled in windows of {WINDOW} pixels, as with '
            "mode='slide'. Give mode='whole' or mode='slide' to choose.",
            'current',
            level=logging.WARNING,
        )
    model.test_cfg = dict(model.test_cfg, mode=mode or 'slide')
    if mode == 'whole':
        if window is not None:
            raise ValueError(
                f"mode='whole' has no windows, but window={window}. Leave the window "
                "out, or use mode='slide'."
            )
        for key in _WINDOW_OPTIONS:
            model.test_cfg.pop(key, None)
    elif window is not None or 'crop' not in model.test_cfg:
        model.test_cfg.update(_windows(model, WINDOW if window is None else window))
    model.sampling_mode = model.make_mode(model.test_cfg)


def _windows(model, window: int) -> dict[str, int]:
    """Windows that overlap by a quarter, in whole cells of the model."""
    check_integer('window', window, 4)
    cell = model.data_preprocessor.cell
    cells = -(-window // cell)
    return dict(crop=cells * cell, stride=max(cells * 3 // 4, 1) * cell)


def watch(
    model,
    total: int,
    progress: Callable[[int, int], None],
    should_stop: Callable[[], bool],
) -> None:
    """Call functions around each evaluation of the head.

    Args:
        model: a copy by :func:`with_options`.
        total: number of evaluations, for ``progress``.
        progress: (done, total), called after an evaluation.
        should_stop: called before an evaluation, which it prevents by returning True.
    """
    denoise, done = model.denoise, 0

    def watched(*args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        nonlocal done
        if should_stop():
            raise SamplingStoppedError('Sampling was stopped by its caller.')
        outputs = denoise(*args, **kwargs)
        done += 1
        progress(done, total)
        return outputs

    model.denoise = watched


def check_integer(name: str, value: Any, minimum: int | None = None) -> None:
    """Refuse what is not an integer, or is less than the minimum."""
    is_integer = isinstance(value, Integral) and not isinstance(value, bool)
    if not is_integer or (minimum is not None and value < minimum):
        kind = 'an integer' if minimum is None else f'an integer of at least {minimum}'
        raise ValueError(f'{name} must be {kind}, but got {name}={value!r}. Give one.')
