"""A sampler of few steps whose coefficients are fitted to a model."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from mmadm.registry import SAMPLERS

from .grids import TimeGrid, check_decreasing
from .process import ADMProcess
from .samplers import Denoiser, NoiseSource, Sampler


class Coefficients(NamedTuple):
    """Numbers of the N steps of :class:`FittedSampler`; see there."""

    #: The N times of the function evaluations.
    times: Sequence[float]
    #: For each step, the weights of the earlier predictions of phi, latest first.
    phi: Sequence[Sequence[float | Tensor]]
    #: The same for eps.
    eps: Sequence[Sequence[float | Tensor]]
    #: For each step, the fraction that is diffused anew.
    mix: Sequence[float | Tensor]


@SAMPLERS.register_module()
class FittedSampler(Sampler):
    """Deterministic sampler with coefficients that were fitted to a model.

    In a step from t to r, the latest predictions are averaged with weights that sum to
    1, and the state is a mixture of the deterministic step and of the image that phi
    predicts, diffused to the time r:

        phi = sum_j u_j phi_j,      eps = sum_j v_j eps_j
        x_r = (1 - g) (x_t + H_r - H_t - (b(t) - b(r)) eps)
              + g (x0 + H_r + b(r) eps),                    x0 = -H_1

    A perfect denoiser predicts the same phi and eps at all times, and the result is
    then x0 exactly, for any coefficients. With all of them 0 it is
    ``ADMSampler(eta=0, correct=False)``. :func:`fit` finds them.

    Args:
        tables: for each supported number of steps N a dict: ``times``, N numbers that
            decrease from 1; ``phi`` and ``eps``, for each step the weights of the
            earlier predictions, latest first (the current one has the rest); ``mix``,
            g of each step.
        num_steps: the default N; None is that of the first table.
        clip: bound of the result.
    """

    def __init__(
        self,
        tables: Sequence[Mapping],
        num_steps: int | None = None,
        clip: float | None = None,
    ) -> None:
        self.tables = [dict(table) for table in tables]
        self._by_steps = {len(c.times): c for c in map(_checked, tables)}
        if not self._by_steps:
            raise ValueError(
                'A fitted sampler needs coefficients, but tables is empty. Fit some '
                'with tools/analysis_tools/fit_sampler.py.'
            )
        super().__init__(num_steps or len(tables[0]['times']), clip=clip)

    def times(self, process: ADMProcess, num_steps: int | None = None) -> list[float]:
        """The N + 1 times from 1 to 0; see :meth:`Sampler.times`."""
        return [*self._table(num_steps).times, 0.0]

    def reverse(
        self,
        process: ADMProcess,
        denoise: Denoiser,
        x_t: Tensor,
        num_steps: int,
        noise: NoiseSource,
    ) -> Tensor:
        """The steps of :func:`integrate`."""
        return integrate(process, denoise, x_t, self._table(num_steps))

    def _table(self, num_steps: int | None) -> Coefficients:
        number = self.num_steps if num_steps is None else num_steps
        if number not in self._by_steps:
            raise ValueError(
                f'The sampler was fitted for {sorted(self._by_steps)} steps, but '
                f'num_steps={number!r}. Use one of these, or fit it for {number} with '
                'tools/analysis_tools/fit_sampler.py.'
            )
        return self._by_steps[number]


def integrate(
    process: ADMProcess, denoise: Denoiser, x_t: Tensor, coefficients: Coefficients
) -> Tensor:
    """From ``x_1`` to ``x_0``; differentiable in the coefficients."""
    times, *rest = coefficients
    past_phi: list[Tensor] = []
    past_eps: list[Tensor] = []
    for (t, r), u, v, g in zip(pairwise([*times, 0.0]), *rest, strict=True):
        new_phi, new_eps = denoise(x_t, t)
        phi = _mean(new_phi, past_phi, u)
        eps = _mean(new_eps, past_eps, v)
        x_r = process.step(x_t, phi, eps, t, t - r, eta=0.0)
        anew = process.diffuse(process.image(phi), phi, eps, r)
        x_t = x_r + g * (anew - x_r)
        past_phi, past_eps = [new_phi, *past_phi], [new_eps, *past_eps]
    return x_t


def fit(
    process: ADMProcess,
    denoise: Denoiser,
    x_1: Tensor,
    target: Tensor,
    grid: TimeGrid,
    num_steps: int,
    memory: int = 2,
    iterations: int = 200,
    lr: float = 0.03,
    report: Callable[[int, float], None] = lambda *_: None,
) -> tuple[dict, float]:
    """Coefficients with which few steps lead from a noise to the same image as many.

    Args:
        process: the process.
        denoise: (x_t, t) -> (phi, eps), differentiable in ``x_t``.
        x_1: noise (N, C, H, W), times the standard deviation of ``x_1``.
        target: what a fine deterministic sampler makes of it. No ground truth.
        grid: the times of the steps.
        num_steps: N.
        memory: how many earlier predictions a step uses.
        iterations: steps of Adam, with one backward pass through the N steps each.
        lr: its learning rate.
        report: called with the number of the iteration and the error.

    Returns:
        an entry of ``tables`` of :class:`FittedSampler`, and its mean squared error.
        The best coefficients of all iterations, so that they are never worse than 0.
    """
    times = grid(num_steps, process).tolist()[:-1]
    lengths = [min(i, memory) for i in range(num_steps)]
    sizes = [*lengths, *lengths, *[1] * num_steps]
    values = torch.zeros(sum(sizes), dtype=x_1.dtype, requires_grad=True)
    optimizer = torch.optim.Adam([values], lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, iterations)
    best, least = values.detach().clone(), float('inf')

    def unpacked(numbers: Tensor) -> Coefficients:
        parts = [part.unbind() for part in numbers.split(sizes)]
        phi, eps, mix = (parts[i * num_steps :][:num_steps] for i in range(3))
        return Coefficients(times, phi, eps, [g for (g,) in mix])

    for iteration in range(iterations):
        images = integrate(process, denoise, x_1, unpacked(values))
        error = (images - target).square().mean()
        if error.item() < least:
            best, least = values.detach().clone(), error.item()
        report(iteration, error.item())
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        schedule.step()

    _, phi, eps, mix = unpacked(best)
    rows = [[[round(float(w), 6) for w in row] for row in rows] for rows in (phi, eps)]
    numbers = dict(phi=rows[0], eps=rows[1], mix=[round(float(g), 6) for g in mix])
    return dict(times=times, **numbers), least


def _mean(new: Tensor, past: list[Tensor], weights: Sequence) -> Tensor:
    """The mean of the latest predictions: ``new`` has the weight that is left."""
    return new + sum(w * (old - new) for w, old in zip(weights, past))


def _checked(table: Mapping) -> Coefficients:
    names = Coefficients._fields
    if set(table) != set(names) or len({len(table[name]) for name in names}) != 1:
        raise ValueError(
            f'Coefficients of a fitted sampler have {names}, one entry per step, but '
            f'got {dict(table)}. Fit them with tools/analysis_tools/fit_sampler.py.'
        )
    check_decreasing(torch.tensor([*table['times'], 0.0], dtype=torch.float64))
    for row in range(len(table['times'])):
        if max(len(table['phi'][row]), len(table['eps'][row])) > row:
            raise ValueError(
                f'Step {row} has {row} earlier predictions, but weights for '
                f'{len(table["phi"][row])} and {len(table["eps"][row])} of them. Fit '
                'the sampler again.'
            )
    return Coefficients(**{name: table[name] for name in names})
