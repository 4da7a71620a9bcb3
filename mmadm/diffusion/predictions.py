"""How phi and eps follow from what the decoders predict."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .process import ADMProcess
from .scalings import Coefficients, check_cld


class State(NamedTuple):
    """Where the network was evaluated; all tensors on the device of ``x_t``."""

    process: ADMProcess
    x_t: Tensor
    t: Tensor | float
    c: Coefficients


class Prediction(NamedTuple):
    """What the decoders predict, in their order, and how phi and eps follow from it."""

    names: tuple[str, ...]
    #: (state, *raw outputs) -> phi and eps.
    complete: Callable[..., tuple[Tensor, Tensor]]


def _phi(state: State, raw: Tensor | None) -> Tensor:
    c, x_t = state.c, state.x_t
    if raw is None:
        return torch.cat([over(skip, x_t) * x_t for skip in c.phi_skip.unbind(1)], 1)
    params = state.process.attenuation.split(raw)
    columns = zip(params, c.phi_skip.unbind(1), c.phi_out.unbind(1), strict=True)
    return torch.cat(
        [over(skip, x_t) * x_t + over(out, x_t) * f for f, skip, out in columns],
        dim=1,
    )


def _eps(state: State, raw: Tensor | None) -> Tensor:
    c, x_t = state.c, state.x_t
    skip = over(c.eps_skip, x_t) * x_t
    return skip if raw is None else skip + over(c.eps_out, x_t) * raw


def _from_both(state: State, raw_phi: Tensor, raw_eps: Tensor) -> tuple[Tensor, Tensor]:
    return _phi(state, raw_phi), _eps(state, raw_eps)


def _from_phi(state: State, raw: Tensor) -> tuple[Tensor, Tensor]:
    """``eps = (x_t - x0 - H_t) / b(t)``, with ``x0 = -H_1``."""
    process, x_t, t, _ = state
    phi = _phi(state, raw)
    mean = process.diffuse(process.image(phi), phi, torch.zeros_like(x_t), t)
    return phi, (x_t - mean) / process.noise.std(process.expand_time(t, x_t))


def _signal(state: State) -> tuple[Tensor, Tensor]:
    """``g(t)``, the fraction of the image that is left at time t, and its derivative.

    Only without drawn parameters.
    """
    process, x_t, t, _ = state
    attenuation = process.attenuation
    if attenuation.num_free:
        raise ValueError(
            'A network that predicts only eps or the velocity does not determine the '
            f'drawn parameters of {type(attenuation).__name__}. Use a constant or '
            'power attenuation, or a head with two decoders and '
            "predicts='phi_eps'."
        )
    one, t = torch.ones_like(x_t[:1]), process.expand_time(t, x_t)
    phi = attenuation.solve(one)
    return one + attenuation.integral(phi, t), attenuation.rate(phi, t)


def _from_eps(state: State, raw: Tensor) -> tuple[Tensor, Tensor]:
    """``x0 = (x_t - b(t) eps) / g(t)``.

    ``g(t)`` is kept above ``t_min``: in the paper's process nothing of the image is
    left at t = 1.
    """
    process, x_t, t, _ = state
    eps = _eps(state, raw)
    left, _ = _signal(state)
    noise = process.noise.std(process.expand_time(t, x_t)) * eps
    x0 = (x_t - noise) / left.clamp(min=process.t_min)
    return process.attenuation.solve(x0), eps


def _from_velocity(state: State, raw: Tensor) -> tuple[Tensor, Tensor]:
    """``x_t = g x0 + b eps`` and ``dx_t/dt = g' x0 + b' eps``, solved for both.

    The raw output is the velocity. It needs no scaling where ``b(t) = t``: its variance
    is about one at all times.
    """
    process, x_t, t, _ = state
    g, g_rate = _signal(state)
    t = process.expand_time(t, x_t)
    b = process.noise.std(t)
    b_rate = process.noise.variance_rate(t) / (2 * b)
    determinant = g * b_rate - g_rate * b
    x0 = (b_rate * x_t - b * raw) / determinant
    return process.attenuation.solve(x0), (g * raw - g_rate * x_t) / determinant


def _from_velocity_noise(state: State, raw: Tensor) -> tuple[Tensor, Tensor]:
    """The two equations of :class:`CLDProcess` solved for image and ``eps_x``."""
    process, x_t, t, c = state
    check_cld(process)
    velocity = x_t.chunk(2, 1)[1]
    eps_w = over(c.eps_skip, x_t) * velocity + over(c.eps_out, x_t) * raw
    return process.solve(x_t, eps_w, t)


#: Name -> what the head's decoders predict.
PREDICTIONS: dict[str, Prediction] = {
    'phi_eps': Prediction(('phi', 'eps'), _from_both),
    'phi': Prediction(('phi',), _from_phi),
    'eps': Prediction(('eps',), _from_eps),
    'velocity': Prediction(('velocity',), _from_velocity),
    'velocity_noise': Prediction(('velocity noise',), _from_velocity_noise),
}


def over(value: Tensor, x: Tensor) -> Tensor:
    """One value per image, (N,), in a shape that broadcasts over ``x``."""
    return value.view(-1, *[1] * (x.dim() - 1))
