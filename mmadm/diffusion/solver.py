"""The multistep sampler: polynomials through the outputs of several steps."""

from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from mmadm.registry import SAMPLERS

from .grids import TimeGrid, UniformSigmaGrid
from .process import ADMProcess, check_eta, widest
from .samplers import Denoiser, NoiseSource, Sampler


def _gauss_legendre(count: int) -> tuple[Tensor, Tensor]:
    """Nodes and weights on [0, 1]: eigenpairs of the Jacobi matrix (Golub, Welsch)."""
    k = torch.arange(1, count, dtype=torch.float64)
    nodes, vectors = torch.linalg.eigh(torch.diag(k / (4 * k**2 - 1).sqrt(), -1))
    return (1 + nodes) / 2, vectors[0] ** 2


# Used in the square root of time, where sqrt(t) is smooth at t = 0. Eight nodes are
# exact to degree 15: enough for every order where h_t and b are polynomials in sqrt(t).
_NODES, _WEIGHTS = _gauss_legendre(8)

# Keeps the log-SNR finite at t = 1 and t = 0: where signal or noise is below a tenth,
# the variable is about linear in it.
_SNR_FLOOR = 0.1


class Output(NamedTuple):
    """The predictions of the network at one time."""

    t: float
    phi: Tensor
    eps: Tensor


class Step(NamedTuple):
    """One step of order 1."""

    x_r: Tensor
    t: float
    r: float
    #: Ratio of the noise that it removes to that of the deterministic step.
    gain: float


#: (x, t) -> the network's output.
Evaluate = Callable[[Tensor, float], Output]
#: (x, t, r, past) -> the step with ``past[0]`` held constant, and ``past`` at time r.
TakeStep = Callable[[Tensor, float, float, list[Output]], tuple[Step, list[Output]]]


def sigma(process: ADMProcess, t: Tensor) -> Tensor:
    """The noise level ``b(t)``."""
    return process.noise.std(t)


def log_snr(process: ADMProcess, t: Tensor) -> Tensor:
    """``log(signal / b(t))``, made finite at both ends.

    The signal is ``x0 + H_t`` for an image of ones with drawn parameters zero: 1 - t
    for the functions of Fig. 7, ``alpha_t`` for the VP process.
    """
    attenuation, times = process.attenuation, t.view(-1, 1, 1, 1)
    one = torch.ones_like(times)
    phi = attenuation.solve(one, *[torch.zeros_like(one)] * attenuation.num_free)
    signal = (one + attenuation.integral(phi, times)).view_as(t)
    return torch.log((signal + _SNR_FLOOR) / (process.noise.std(t) + _SNR_FLOOR))


#: Name -> (process, t) -> the variable in which the outputs are interpolated.
VARIABLES: dict[str, Callable[[ADMProcess, Tensor], Tensor]] = {
    'sigma': sigma,
    'log_snr': log_snr,
}


@SAMPLERS.register_module()
class MultistepSampler(Sampler):
    """Sampler of higher order with one function evaluation per step.

    The probability-flow ODE is linear in the outputs of both decoders,

        dx = dH_t(phi) + eps db,

    and a step integrates the Lagrange polynomials through the last ``order`` outputs;
    with ``eta > 0`` the step is that of :meth:`ADMProcess.step` with the same
    polynomials. The derivation is in ``docs/en/advanced_guides/solver.md``.

    Args:
        num_steps: N, the default number of steps (NFE).
        grid: time grid, or its config.
        clip: bound of the image estimate and of the result.
        order: number of outputs that a polynomial interpolates, 1 to 3; 1 without
            corrector is the deterministic ``ADMSampler(eta=0, correct=False)``.
        corrector: repeat each step with the output at its end, without a further
            evaluation of the network.
        variable: variable of the polynomials, a name in ``VARIABLES``.
        eta: noise level of the steps: 0 is deterministic, 1 that of Algorithm 2.
    """

    def __init__(
        self,
        num_steps: int = 10,
        grid: TimeGrid | dict = dict(type=UniformSigmaGrid),
        clip: float | None = None,
        order: int = 2,
        corrector: bool = True,
        variable: Literal['sigma', 'log_snr'] = 'sigma',
        eta: float = 0.0,
    ) -> None:
        super().__init__(num_steps, grid, clip)
        check_eta(eta)
        if order not in (1, 2, 3):
            raise ValueError(
                f'The order of the solver must be 1, 2 or 3, but order={order!r}. '
                'Order 2 with the corrector is best at few steps.'
            )
        if variable not in VARIABLES:
            raise ValueError(
                f'Unknown interpolation variable={variable!r}. '
                f'Use one of {sorted(VARIABLES)}.'
            )
        self.order = order
        self.corrector = corrector
        self.variable = variable
        self.eta = eta

    def reverse(
        self,
        process: ADMProcess,
        denoise: Denoiser,
        x_t: Tensor,
        num_steps: int,
        noise: NoiseSource,
    ) -> Tensor:
        """The state is float64; the networks get the precision of ``noise``."""
        dtype = x_t.dtype

        def evaluate(x_t: Tensor, t: float) -> Output:
            return Output(t, *map(widest, denoise(x_t.to(dtype), t)))

        def take_step(
            x_t: Tensor, t: float, r: float, past: list[Output]
        ) -> tuple[Step, list[Output]]:
            xi = widest(noise()) if self.eta > 0 and r > 0 else None
            _, phi, eps = past[0]
            x_r = process.step(x_t, phi, eps, t, t - r, self.eta, xi)
            gain, kept = _bridge(process, self.eta, t, r)
            step = Step(x_r, t, r, gain)
            return step, past if xi is None else _renew(past, kept, xi)

        times = self.times(process, num_steps)
        x_0 = self.integrate(process, evaluate, take_step, widest(x_t), times)
        return x_0.to(dtype)

    def integrate(
        self,
        process: ADMProcess,
        evaluate: Evaluate,
        take_step: TakeStep,
        x: Tensor,
        times: list[float],
    ) -> Tensor:
        """Evaluate, correct the last step, take the next one; in either direction."""
        past: list[Output] = []
        step = None
        for t, r in pairwise(times):
            output = evaluate(x, t)
            # A first step of order 1 would reduce order 3 to 2: it is repeated too.
            if past and (self.corrector or len(past) < self.order - 1):
                x = self._higher_order(process, step, [past[0], output, *past[1:]])

            past = [output, *past][: self.order]
            step, renewed = take_step(x, t, r, past)
            x = self._higher_order(process, step, past)
            past = renewed
        return x

    def _higher_order(
        self, process: ADMProcess, step: Step, outputs: list[Output]
    ) -> Tensor:
        """The step with polynomials through all outputs instead of ``outputs[0]``."""
        if len(outputs) == 1:
            return step.x_r
        variable = VARIABLES[self.variable]
        image_part, noise_part = correction(process, variable, step, outputs)
        return step.x_r + image_part + step.gain * noise_part


# Numbers of the time grid are cached, so that they are constants of an exported graph.
@lru_cache(maxsize=4096)
def _bridge(process: ADMProcess, eta: float, t: float, r: float) -> tuple[float, float]:
    """Gain of the step, and the fraction of b(r) that is predicted noise."""
    ends = torch.tensor([t, r], dtype=torch.float64)
    b_t, b_r = process.noise.std(ends)
    kept = b_r**2 - eta**2 * process.bridge_variance(*ends)
    kept = kept.clamp(min=0).sqrt()
    return float((b_t - kept) / (b_t - b_r)), float(kept / b_r)


def _renew(past: list[Output], kept: float, xi: Tensor) -> list[Output]:
    """Past outputs for the noise after a step: partly kept, partly replaced by ``xi``.

    Otherwise the polynomials would take the change of the noise for a trend of the
    outputs.
    """
    fresh = (1 - kept**2) ** 0.5
    return [output._replace(eps=kept * output.eps + fresh * xi) for output in past]


def correction(
    process: ADMProcess,
    variable: Callable[[ADMProcess, Tensor], Tensor],
    step: Step,
    outputs: list[Output],
) -> tuple[Tensor, Tensor]:
    """What the polynomials add to a step with ``outputs[0]`` held constant.

    The weights of the outputs vary with time. The attenuation rate h_t is evaluated
    with the parameters of each output, which is correct also for functions that are not
    linear in them (sine).

    Returns:
        image part, the integral of ``h(phi) - h(phi_0)`` over time, and noise part, the
        integral of ``eps - eps_0`` over b.
    """
    known = tuple(output.t for output in outputs)
    times, dt, db = _weights(process, variable, step.t, step.r, known)
    return (
        _integrated_rate(process, outputs, times, dt),
        sum(w * output.eps for w, output in zip(db, outputs)),
    )


@lru_cache(maxsize=4096)
def _weights(
    process: ADMProcess,
    variable: Callable[[ADMProcess, Tensor], Tensor],
    t: float,
    r: float,
    known: tuple[float, ...],
) -> tuple[list[float], list[list[float]], list[float]]:
    """Times in a step (K), and the weights of p outputs: dt (p, K) and db (p)."""
    nodes = torch.tensor(known, dtype=torch.float64)
    length = r**0.5 - t**0.5
    roots = t**0.5 + _NODES * length
    times = roots**2
    weights = lagrange(variable(process, nodes), variable(process, times))
    weights[0] -= 1
    dt = weights * _WEIGHTS * 2 * roots * length
    db = dt * process.noise.variance_rate(times) / (2 * process.noise.std(times))
    return times.tolist(), dt.tolist(), db.sum(1).tolist()


def lagrange(nodes: Tensor, at: Tensor) -> Tensor:
    """Values at ``at`` (K,) of the p Lagrange polynomials of the ``nodes`` (p,).

    Returns:
        values (p, K); each column sums to 1.
    """
    diagonal = torch.eye(len(nodes), dtype=torch.bool)
    gaps = (nodes[:, None] - nodes).masked_fill(diagonal, 1)
    factors = (at - nodes[:, None]) / gaps[..., None]
    return factors.masked_fill(diagonal[..., None], 1).prod(dim=1)


def _integrated_rate(
    process: ADMProcess,
    outputs: list[Output],
    times: list[float],
    dt: list[list[float]],
) -> Tensor:
    """Sum of ``h(phi)`` at the times (K) with the weights dt (p, K)."""
    rate = process.attenuation.rate
    return sum(
        weight * rate(output.phi, torch.tensor(time, dtype=torch.float64))
        for output, weights in zip(outputs, dt)
        for weight, time in zip(weights, times)
    )
