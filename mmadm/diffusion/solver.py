"""The high-order solver: both decoders' answers, polynomials in place of constants."""

from collections.abc import Callable
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from mmadm.registry import SAMPLERS

from .grids import TimeGrid, UniformSigmaGrid
from .process import ADMProcess, check_eta
from .samplers import Callback, Denoiser, NoiseSource, Sampler


def _gauss_legendre(count: int) -> tuple[Tensor, Tensor]:
    """Nodes and weights on [0, 1]: eigenpairs of the Jacobi matrix (Golub, Welsch)."""
    k = torch.arange(1, count, dtype=torch.float64)
    nodes, vectors = torch.linalg.eigh(torch.diag(k / (4 * k**2 - 1).sqrt(), -1))
    return (1 + nodes) / 2, vectors[0] ** 2


# In the square root of time, in which sqrt(t) is no singular point at t = 0. Eight are
# exact to degree 15: enough for every order where h_t and b are polynomials in sqrt(t).
_NODES, _WEIGHTS = _gauss_legendre(8)

# Keeps the two ends of the log-SNR finite: where signal or noise is below a tenth, the
# variable is about linear in it, so t = 1 and t = 0 stay ordinary points.
_SNR_FLOOR = 0.1


class Answer(NamedTuple):
    """What the network said at one time."""

    t: float
    phi: Tensor
    eps: Tensor


class Step(NamedTuple):
    """One step as order 1 takes it."""

    x_r: Tensor
    t: float
    r: float
    #: How much more noise it removes than the deterministic step, as a factor.
    gain: float


#: (i, x, t) -> the network's answer.
Ask = Callable[[int, Tensor, float], Answer]
#: (x, t, r, past) -> a step with ``past[0]`` frozen, and ``past`` as seen from r.
Advance = Callable[[Tensor, float, float, list[Answer]], tuple[Step, list[Answer]]]


def sigma(process: ADMProcess, t: Tensor) -> Tensor:
    """The noise level ``b(t)``."""
    return process.noise.std(t)


def log_snr(process: ADMProcess, t: Tensor) -> Tensor:
    """``log(signal / b(t))``, softened at its infinite ends.

    The signal is what H_t leaves of an image of ones, free parameters zero: 1 - t for
    the functions of Fig. 7, ``alpha_t`` for the VP process.
    """
    attenuation, times = process.attenuation, t.view(-1, 1, 1, 1)
    one = torch.ones_like(times)
    phi = attenuation.solve(one, *[torch.zeros_like(one)] * attenuation.num_free)
    signal = (one + attenuation.integral(phi, times)).view_as(t)
    return torch.log((signal + _SNR_FLOOR) / (process.noise.std(t) + _SNR_FLOOR))


#: Name -> (process, t) -> the variable in which the answers are interpolated.
VARIABLES: dict[str, Callable[[ADMProcess, Tensor], Tensor]] = {
    'sigma': sigma,
    'log_snr': log_snr,
}


@SAMPLERS.register_module()
class MultistepSampler(Sampler):
    """The reverse process in higher order, one network call per step.

    Along the probability-flow ODE both decoders enter linearly,

        dx = dH_t(phi) + eps db,

    and a step integrates the Lagrange polynomials through the last ``order`` answers;
    ``eta > 0`` takes the bridge of :meth:`ADMProcess.step` with the same polynomials.
    The derivation is in ``docs/en/advanced_guides/solver.md``.

    Args:
        num_steps: N, the number of network calls.
        grid: time grid, or its config.
        clip: bound of the image estimate and of the result.
        order: how many answers a polynomial goes through, 1 to 3; 1 without corrector
            is the deterministic rule, ``ADMSampler(eta=0, correct=False)``.
        corrector: redo each step once the answer at its end is known, at no extra call.
        variable: in which the polynomials are, a name in ``VARIABLES``.
        eta: 0 is deterministic, 1 draws as much noise as Algorithm 2.
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

    def __call__(
        self,
        denoise: Denoiser,
        process: ADMProcess,
        noise: NoiseSource,
        num_steps: int | None = None,
        callback: Callback | None = None,
    ) -> Tensor:
        """Draw images; arguments as in :meth:`ADMSampler.__call__`.

        The state is float64; the network sees, and the caller gets, the precision of
        ``noise``.
        """
        start = noise()

        def ask(i: int, x_t: Tensor, t: float) -> Answer:
            phi, eps = (part.double() for part in denoise(x_t.to(start.dtype), t))
            if callback is not None:
                callback(i, t, x_t, self.estimate(process, x_t, phi, eps, t))
            return Answer(t, phi, eps)

        def advance(
            x_t: Tensor, t: float, r: float, past: list[Answer]
        ) -> tuple[Step, list[Answer]]:
            xi = noise().double() if self.eta > 0 and r > 0 else None
            _, phi, eps = past[0]
            x_r = process.step(x_t, phi, eps, t, t - r, self.eta, xi)
            gain, share = self._bridge(process, t, r)
            step = Step(x_r, t, r, gain)
            return step, past if xi is None else _renew(past, share, xi)

        times = self.times(process, num_steps)
        x0 = self.integrate(process, ask, advance, start.double(), times)
        x0 = x0.to(start.dtype)
        return x0 if self.clip is None else x0.clamp(-self.clip, self.clip)

    def integrate(
        self,
        process: ADMProcess,
        ask: Ask,
        advance: Advance,
        x: Tensor,
        times: list[float],
    ) -> Tensor:
        """Ask, correct the step before, step: over all times, in either direction."""
        past: list[Answer] = []
        step = None
        for i, (t, r) in enumerate(pairwise(times)):
            answer = ask(i, x, t)
            # A first step of order 1 would bring order 3 down to 2: it is redone too.
            if past and (self.corrector or len(past) < self.order - 1):
                x = self._bend(process, step, [past[0], answer, *past[1:]])

            past = [answer, *past][: self.order]
            step, renewed = advance(x, t, r, past)
            x = self._bend(process, step, past)
            past = renewed
        return x

    def _bend(self, process: ADMProcess, step: Step, answers: list[Answer]) -> Tensor:
        """The step with polynomials through all answers in place of ``answers[0]``."""
        if len(answers) == 1:
            return step.x_r
        variable = VARIABLES[self.variable]
        image_part, noise_part = bend(process, variable, step.t, step.r, answers)
        return step.x_r + image_part + step.gain * noise_part

    def _bridge(self, process: ADMProcess, t: float, r: float) -> tuple[float, float]:
        """Gain of the step, and the share of the noise level b(r) that stays."""
        ends = torch.tensor([t, r], dtype=torch.float64)
        b_t, b_r = process.noise.std(ends)
        kept = b_r**2 - self.eta**2 * process.bridge_variance(*ends)
        kept = kept.clamp(min=0).sqrt()
        return float((b_t - kept) / (b_t - b_r)), float(kept / b_r)


def _renew(past: list[Answer], share: float, xi: Tensor) -> list[Answer]:
    """Past answers after a step that kept a share of the noise and drew the rest.

    The fresh noise is known, so it is no error of the past: without this, answers to
    different noise would be taken for a trend.
    """
    fresh = (1 - share**2) ** 0.5
    return [answer._replace(eps=share * answer.eps + fresh * xi) for answer in past]


def bend(
    process: ADMProcess,
    variable: Callable[[ADMProcess, Tensor], Tensor],
    t: float,
    r: float,
    answers: list[Answer],
) -> tuple[Tensor, Tensor]:
    """What polynomials through all answers add to a step with ``answers[0]`` frozen.

    Each answer has a share that varies with time. The rate h_t, known analytically, is
    taken with the parameters of each answer, which is right for functions that are not
    linear in them (sine), too.

    Returns:
        image part, the integral of ``h(phi) - h(phi_0)`` over time, and noise part, the
        integral of ``eps - eps_0`` over b.
    """
    asked = torch.tensor([answer.t for answer in answers], dtype=torch.float64)
    length = r**0.5 - t**0.5
    roots = t**0.5 + _NODES * length
    times = roots**2
    shares = lagrange(variable(process, asked), variable(process, times))
    shares[0] -= 1
    dt = shares * _WEIGHTS * 2 * roots * length
    db = dt * process.noise.variance_rate(times) / (2 * process.noise.std(times))
    return (
        _integrated_rate(process, answers, times, dt),
        sum(w * a.eps for w, a in zip(db.sum(1).tolist(), answers)),
    )


def lagrange(nodes: Tensor, at: Tensor) -> Tensor:
    """Values at ``at`` (K,) of the p polynomials that are 1 at one node, 0 at the rest.

    Returns:
        values (p, K); each column sums to 1.
    """
    own = torch.eye(len(nodes), dtype=torch.bool)
    gaps = (nodes[:, None] - nodes).masked_fill(own, 1)
    factors = (at - nodes[:, None]) / gaps[..., None]
    return factors.masked_fill(own[..., None], 1).prod(dim=1)


def _integrated_rate(
    process: ADMProcess, answers: list[Answer], times: Tensor, dt: Tensor
) -> Tensor:
    """Sum of ``h(phi)`` at the times (K,) with the weights dt (p, K)."""
    times = times.to(answers[0].phi.device)
    rate = process.attenuation.rate
    return sum(
        weight * rate(answer.phi, time)
        for answer, weights in zip(answers, dt.tolist())
        for weight, time in zip(weights, times)
    )
