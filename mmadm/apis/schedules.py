"""Schedules of a config as numbers: learning rate, average, loss weights, times."""

from collections.abc import Sequence

import numpy as np
import torch
from mmengine.config import Config
from torch import nn

from mmadm.registry import MODELS, PARAM_SCHEDULERS
from mmadm.visualization.curves import Panel

# Points of a curve over the iterations.
_POINTS = 500
# What MMEngine's hook does not hand over to the average.
_HOOK_KEYS = {
    'type',
    'ema_type',
    'strict_load',
    'begin_iter',
    'begin_epoch',
    'priority',
}


def learning_rates(cfg: Config) -> tuple[np.ndarray, np.ndarray]:
    """The learning rate over the iterations: both (K,).

    The schedulers of the config are run with an optimizer of one number.
    """
    total = cfg.train_cfg.max_iters
    wrapper = cfg.optim_wrapper
    if 'optimizer' not in wrapper:  # a first stage has one wrapper for each part
        wrapper = next(part for part in wrapper.values() if isinstance(part, dict))
    lr = wrapper.optimizer.lr
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    schedulers = []
    found = cfg.get('param_scheduler') or []
    for scheduler in found if isinstance(found, list) else [found]:
        arguments = dict(scheduler, optimizer=optimizer)
        # As MMEngine's runner: a schedule without end lasts as long as the training.
        arguments.setdefault('end', total)
        schedulers.append(PARAM_SCHEDULERS.build(arguments))
    iterations, rates = [], []
    every = max(1, total // _POINTS)
    optimizer.step()  # so that torch does not warn of the order
    for iteration in range(total):
        if iteration % every == 0 or iteration == total - 1:
            iterations.append(iteration)
            rates.append(optimizer.param_groups[0]['lr'])
        for scheduler in schedulers:
            scheduler.step()
    return np.array(iterations), np.array(rates)


def average_lengths(cfg: Config) -> tuple[np.ndarray, np.ndarray] | None:
    """The length of the EMA, 1 / momentum, over the iterations; None without EMA."""
    hook = cfg.get('default_hooks', {}).get('ema')
    if not hook:
        return None
    options = {k: v for k, v in hook.items() if k not in _HOOK_KEYS}
    average = MODELS.build(dict(type=hook.ema_type, model=nn.Linear(1, 1), **options))
    last = cfg.train_cfg.max_iters - 1
    iterations = np.unique(np.linspace(0, last, _POINTS).astype(int))
    # Other averages than mmadm's have one momentum.
    momentum_at = getattr(average, 'momentum_at', lambda _: average.momentum)
    return iterations, np.array([1 / momentum_at(int(i)) for i in iterations])


def schedule_panels(cfg: Config, num_steps: Sequence[int]) -> list[Panel]:
    """Panels of :func:`mmadm.visualization.curves.plot_panels` for a config.

    Raises:
        ValueError: the config is not that of a diffusion model.
    """
    if 'head' not in cfg.model:
        raise ValueError(
            'Schedules are those of a diffusion model, but the config has '
            f'model.type={cfg.model.get("type")}. Give a config of configs/adm/.'
        )
    with torch.device('meta'):
        network = MODELS.build(cfg.model)
    panels = [Panel('learning rate', 'iteration', {'': learning_rates(cfg)})]
    average = average_lengths(cfg)
    if average is not None:
        panels.append(Panel('iterations averaged by EMA', 'iteration', {'': average}))
    process = network.process
    t = torch.linspace(process.t_min, 1, _POINTS, dtype=torch.float64)
    weights = network.weighting(t, network.preconditioner.coefficients(process, t))
    curves = {
        name: (t.numpy(), weight.reshape(len(t), -1)[:, 0].numpy())
        for name, weight in zip(('image part', 'noise part'), weights)
    }
    panels.append(Panel('loss weights', 't', curves, log=True))
    grids = {}
    for n in num_steps:
        times = np.array(network.sampler.times(process, n))
        grids[f'{n} steps'] = (np.arange(n + 1) / n, times)
    panels.append(Panel('time grid', 'fraction of the steps', grids, points=True))
    return panels
