"""Scores of one model for several numbers of sampling steps."""

import json
import math
from collections.abc import Sequence
from numbers import Integral
from pathlib import Path

from mmengine.dataset import pseudo_collate
from mmengine.dist import is_main_process
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import nn

from mmadm.checkpoints import load_weights
from mmadm.diffusion.grids import MAX_STEPS
from mmadm.engine import ShowDirHook
from mmadm.utils import unwrap_model
from mmadm.utils.files import atomic_write
from mmadm.visualization.visualizer import save

from .trajectory import sample_trajectory


def load_into(runner: Runner, path: str | Path) -> None:
    """Load a checkpoint into the model of a runner, all weights or none.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is corrupted or does not fit the model.
    """
    load_weights(unwrap_model(runner.model), path)


def check_steps(steps: Sequence[int]) -> None:
    """Refuse numbers of steps that are not integers from 1 to MAX_STEPS."""
    wrong = [n for n in steps if not isinstance(n, Integral) or not 1 <= n <= MAX_STEPS]
    if wrong:
        raise ValueError(
            f'Numbers of sampling steps must be positive, at most {MAX_STEPS:,}, and '
            f'integers, but got {wrong}. The paper uses 5 and 10.'
        )


def test_steps(runner: Runner, steps: Sequence[int] | None) -> dict[int, dict]:
    """Test one loaded model with several numbers of steps.

    Args:
        runner: the runner, with the weights loaded.
        steps: numbers of sampling steps (network evaluations per image); None uses the
            number of the config.

    Returns:
        the metrics by number of steps. A first stage has one step.

    Raises:
        ValueError: a number of steps is given for a model without sampler.
    """
    model = unwrap_model(runner.model)
    if not samples(model):
        return {1: _test_once(runner, steps)}
    steps = steps or [model.test_cfg.get('num_steps') or model.sampler.num_steps]
    hooks = [hook for hook in runner.hooks if isinstance(hook, ShowDirHook)]
    results = {}
    for n in steps:
        model.test_cfg['num_steps'] = n
        for hook in hooks:
            hook.run = f'ADM {n}'
        print_log(f'Testing with {n} steps', 'current')
        results[n] = runner.test()
    return results


test_steps.__test__ = False  # pytest would collect it


def samples(model: nn.Module) -> bool:
    """Whether a model is a diffusion model; a first stage has no sampler."""
    return hasattr(model, 'sampler')


def _test_once(runner: Runner, steps: Sequence[int] | None) -> dict:
    if steps:
        raise ValueError(
            f'A first stage has no sampling steps, but --num-steps {steps} was given. '
            'Leave the option out.'
        )
    for hook in runner.hooks:
        if isinstance(hook, ShowDirHook):
            hook.run = 'reconstruction'
    return runner.test()


def score_table(results: dict[int, dict[str, float]]) -> str:
    """A table of the metrics by number of steps; baselines (``name:metric``) below."""
    first = next(iter(results.values()))
    names = [key for key in first if ':' not in key and not key.endswith('time')]
    rows = [(str(n), scores) for n, scores in results.items()]
    for baseline in dict.fromkeys(key.split(':')[0] for key in first if ':' in key):
        own = {k.split(':')[1]: v for k, v in first.items() if k.startswith(baseline)}
        rows.append((baseline, own))

    widths = {name: max(10, len(name)) for name in names}
    lines = [' | '.join([f'{"steps":>10}'] + [f'{k:>{widths[k]}}' for k in names])]
    lines.append('-' * len(lines[0]))
    for label, scores in rows:
        texts = {k: f'{scores[k]:.4f}' if k in scores else '' for k in names}
        cells = [f'{text:>{widths[k]}}' for k, text in texts.items()]
        lines.append(' | '.join([f'{label:>10}', *cells]))
    return '\n'.join(lines)


def write_scores(results: dict[int, dict[str, float]], path: str | Path) -> None:
    """Write the result of :func:`test_steps` as JSON, atomically.

    JSON has neither infinity (the PSNR of equal images) nor NaN: both become ``null``.
    """
    plain = {
        str(steps): {
            key: score if math.isfinite(score) else None
            for key, score in scores.items()
        }
        for steps, scores in results.items()
    }
    with atomic_write(path) as part:
        part.write_text(json.dumps(plain, allow_nan=False, default=float))


def write_trajectory(runner: Runner, path: str | Path, index: int = 0) -> bool:
    """Draw the sampling trajectory of one test image, with the current step count.

    Returns:
        whether it was drawn: a first stage has no trajectory, and windows that are
        sampled separately have none of the whole image.
    """
    model = unwrap_model(runner.model)
    if not (
        is_main_process() and samples(model) and model.sampling_mode.has_trajectory
    ):
        return False
    data = pseudo_collate([runner.test_dataloader.dataset[index]])
    data = model.data_preprocessor(data)
    (sample,) = data['data_samples']
    model.eval()
    save(sample_trajectory(model, data['inputs']['condition'], sample), path)
    return True
