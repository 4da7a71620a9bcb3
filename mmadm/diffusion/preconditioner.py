"""Scaling of the network's input and outputs: preconditioning in the sense of EDM.

Two tables compose: ``SCALINGS`` holds the coefficients, ``PREDICTIONS`` what the
network predicts. A new entry in either of them works with all entries of the other;
only those of CLD belong together.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from mmadm.registry import MODELS

from .cld import CLDProcess
from .process import ADMProcess, listed, within

#: A network: (scaled x_t, c_noise) -> its raw outputs. One that is not needed may be
#: None; see :meth:`Preconditioner.needed`.
Network = Callable[[Tensor, Tensor], tuple[Tensor | None, ...]]


@dataclass(frozen=True)
class Coefficients:
    """Scaling factors at times t (N,); each entry (N,), those of phi (N, P)."""

    c_in: Tensor
    c_noise: Tensor
    phi_skip: Tensor
    phi_out: Tensor
    eps_skip: Tensor
    eps_out: Tensor

    def to(self, x: Tensor) -> 'Coefficients':
        """The coefficients on the device of ``x``, in its precision."""
        return Coefficients(**{name: c.to(x) for name, c in vars(self).items()})


#: (process, t, sigma_data) -> the coefficients; t and the coefficients in float64.
Scaling = Callable[[ADMProcess, Tensor, float], Coefficients]


def unit_variance(process: ADMProcess, t: Tensor, sigma_data: float) -> Coefficients:
    """Linear regression of phi and eps on ``x_t``, from the moments of all three.

    The moments come from a two-level design over the sources (x0 and the drawn
    parameters each at plus and minus one standard deviation): exact where phi and
    H_t are linear in them, an approximation for the sine.
    """
    attenuation = process.attenuation
    levels = torch.tensor(list(product((-1.0, 1.0), repeat=attenuation.num_params)))
    levels = levels.to(t).view(*levels.shape, 1, 1)

    image, *free = levels.split(1, dim=1)
    x0 = sigma_data * image
    free_std = attenuation.free_variance**0.5
    phi = attenuation.solve(x0, *(free_std * a for a in free))  # (levels, P, 1, 1)
    mean = x0 + attenuation.integral(phi, t)  # (levels, 1, 1, N)

    std = process.noise.std(t)
    variance = mean.square().mean((0, 1, 2)) + std**2
    covariance = (phi * mean).mean((0, 2)).T  # (N, P)
    phi_skip = covariance / variance[:, None]
    phi_out = phi.square().mean((0, 2)).T - covariance * phi_skip
    eps_skip = std / variance
    eps_out = 1 - std * eps_skip
    return Coefficients(
        c_in=variance.rsqrt(),
        c_noise=t.log(),
        phi_skip=phi_skip,
        phi_out=phi_out.clamp(min=0).sqrt(),
        eps_skip=eps_skip,
        eps_out=eps_out.clamp(min=0).sqrt(),
    )


def edm(process: ADMProcess, t: Tensor, sigma_data: float) -> Coefficients:
    """EDM's preconditioning: with NoAttenuation it is ours, but for ``c_noise``."""
    c = unit_variance(process, t, sigma_data)
    return replace(c, c_noise=process.noise.std(t).log() / 4)


def _ddm_public(t: Tensor) -> Coefficients:
    scale = (1 + t).rsqrt()
    return Coefficients(
        c_in=scale,
        c_noise=t.log(),
        phi_skip=(t - 1)[:, None],
        phi_out=(t * scale)[:, None],
        eps_skip=t.sqrt(),
        eps_out=(1 - t).sqrt() * scale,
    )


def _conditional(t: Tensor) -> Coefficients:
    return replace(_ddm_public(t), c_in=torch.ones_like(t))


def _diffusion_edge(t: Tensor) -> Coefficients:
    scale = (1 + t**2).rsqrt()
    return Coefficients(
        c_in=torch.ones_like(t),
        c_noise=t.log() / 4,
        # The sign is wrong; the published networks were trained with it.
        phi_skip=(1 - t)[:, None],
        phi_out=(t * scale)[:, None],
        eps_skip=t.sqrt(),
        eps_out=(1 - t).sqrt() * scale,
    )


def _published(coefficients: Callable[[Tensor], Coefficients]) -> Scaling:
    """Scaling of a published network: a function of time alone, for one parameter."""

    def scaling(process: ADMProcess, t: Tensor, sigma_data: float) -> Coefficients:
        attenuation = process.attenuation
        if attenuation.num_params != 1:
            raise ValueError(
                'Published networks predict one attenuation parameter, but '
                f'{type(attenuation).__name__} has {attenuation.num_params}. Use '
                "ConstantAttenuation, or scaling='unit_variance'."
            )
        return coefficients(t)

    return scaling


def _input_only(scaling: Scaling) -> Scaling:
    """The same scaling of the input; the outputs are taken as they are."""

    def input_only(process: ADMProcess, t: Tensor, sigma_data: float) -> Coefficients:
        c = scaling(process, t, sigma_data)
        return replace(
            c,
            phi_skip=torch.zeros_like(c.phi_skip),
            phi_out=torch.ones_like(c.phi_out),
            eps_skip=torch.zeros_like(c.eps_skip),
            eps_out=torch.ones_like(c.eps_out),
        )

    return input_only


def score_sde(process: ADMProcess, t: Tensor, sigma_data: float) -> Coefficients:
    """That of Song et al. (2021): the network gets ``x_t`` and ``log b(t)`` as is."""
    c = _input_only(unit_variance)(process, t, sigma_data)
    return replace(c, c_in=torch.ones_like(t), c_noise=process.noise.std(t).log())


def cld(process: ADMProcess, t: Tensor, sigma_data: float) -> Coefficients:
    """CLD's mixed score: only the difference from a linear estimate is predicted."""
    _check_cld(process)
    one = torch.ones_like(t)
    return Coefficients(
        c_in=one,
        c_noise=t.log(),
        phi_skip=0 * one[:, None],
        phi_out=one[:, None],
        eps_skip=process.velocity_skip(t, sigma_data),
        eps_out=one,
    )


def _check_cld(process: ADMProcess) -> None:
    if not isinstance(process, CLDProcess):
        raise ValueError(
            "The scaling 'cld' and the prediction 'velocity_noise' are for CLDProcess, "
            f'whose state has a velocity, but the process is {type(process).__name__}. '
            'Use others, or process=dict(type=CLDProcess).'
        )


_PUBLISHED: dict[str, Scaling] = {
    'ddm_public': _published(_ddm_public),
    'ddm_public_input_only': _input_only(_published(_ddm_public)),
    'conditional': _published(_conditional),
    'diffusion_edge': _published(_diffusion_edge),
}

#: Name -> the coefficients; the table in :class:`Preconditioner` explains the names.
SCALINGS: dict[str, Scaling] = {
    'unit_variance': unit_variance,
    'input_only': _input_only(unit_variance),
    'edm': edm,
    'score_sde': score_sde,
    'cld': cld,
    **_PUBLISHED,
}


@lru_cache(maxsize=4096)
def _at(scaling: str, process: ADMProcess, t: float, sigma_data: float) -> Coefficients:
    """Coefficients at a time of a fixed grid, which are the same for all images.

    Cached, so that they are constants of an exported graph: while it is traced, values
    of tensors cannot be read.
    """
    times = torch.tensor([t], dtype=torch.float64)
    return SCALINGS[scaling](process, times, sigma_data)


@lru_cache(maxsize=4096)
def _needed(
    scaling: str,
    process: ADMProcess,
    t: float,
    sigma_data: float,
    names: tuple[str, ...],
) -> tuple[bool, ...]:
    c = _at(scaling, process, t, sigma_data)
    factors = dict(phi=c.phi_out, eps=c.eps_out)
    return tuple(name not in factors or bool(factors[name].any()) for name in names)


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
        return torch.cat([_over(skip, x_t) * x_t for skip in c.phi_skip.unbind(1)], 1)
    params = state.process.attenuation.split(raw)
    columns = zip(params, c.phi_skip.unbind(1), c.phi_out.unbind(1), strict=True)
    return torch.cat(
        [_over(skip, x_t) * x_t + _over(out, x_t) * f for f, skip, out in columns],
        dim=1,
    )


def _eps(state: State, raw: Tensor | None) -> Tensor:
    c, x_t = state.c, state.x_t
    skip = _over(c.eps_skip, x_t) * x_t
    return skip if raw is None else skip + _over(c.eps_out, x_t) * raw


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
    _check_cld(process)
    velocity = x_t.chunk(2, 1)[1]
    eps_w = _over(c.eps_skip, x_t) * velocity + _over(c.eps_out, x_t) * raw
    return process.solve(x_t, eps_w, t)


#: Name -> what the head's decoders predict.
PREDICTIONS: dict[str, Prediction] = {
    'phi_eps': Prediction(('phi', 'eps'), _from_both),
    'phi': Prediction(('phi',), _from_phi),
    'eps': Prediction(('eps',), _from_eps),
    'velocity': Prediction(('velocity',), _from_velocity),
    'velocity_noise': Prediction(('velocity noise',), _from_velocity_noise),
}


@MODELS.register_module()
class Preconditioner:
    """Scales the input of the network and completes its outputs to phi and eps.

        phi = c_skip x_t + c_out F_1(c_in x_t, c_noise)          (eps alike, from F_2)

    With the default scaling the input has unit variance, ``c_skip`` is the best linear
    estimate from ``x_t``, and ``c_out`` the standard deviation of its error, so that
    the network learns only what is unknown. For ``h_t = c``, ``b = sqrt(t)``, and
    ``D = (1-t)^2 sigma_d^2 + t``:

        c_in = D^(-1/2)      c_noise = log t
        phi:  c_skip = -(1-t) sigma_d^2 / D    c_out^2 = sigma_d^2 t / D
        eps:  c_skip =  sqrt(t) / D            c_out^2 = (1-t)^2 sigma_d^2 / D

    For ``sigma_d = 1``, ``1/c_out^2`` is the best pair of weights of Table V.

    The other scalings (``c_skip`` before ``c_out``):

    ==================  ==========================  ===================================
    Scaling             Networks                    Coefficients
    ==================  ==========================  ===================================
    ``input_only``      without preconditioning     ``c_in``, ``c_noise`` as above; the
                        of the outputs              raw outputs are phi and eps
    ``edm``             EDM, with NoAttenuation     as above, ``c_noise = log(b(t)) /
                                                    4``
    ``score_sde``       those of Song et al.        ``c_in = 1``, ``c_noise = log
                        (2021)                      b(t)``; raw outputs
    ``cld``             those of Dockhorn et al.    ``c_in = 1``; ``c_skip`` of the
                        (2022)                      velocity's noise
    ``ddm_public``      unconditional, published    ``c_in^2 = 1 / (1+t)``, the others
                        before April 2024           as in the next row
    ``conditional``     published conditional       ``c_in = 1``;
                        ones, except the next row   phi: ``t - 1``, ``t / sqrt(1+t)``;
                                                    eps: ``sqrt(t)``,
                                                    ``sqrt((1-t) / (1+t))``
    ``diffusion_edge``  DiffusionEdge               ``c_in = 1``,
                                                    ``c_noise = log(t) / 4``;
                                                    phi: ``1 - t``,
                                                    ``t / sqrt(1+t^2)``;
                                                    eps: ``sqrt(t)``,
                                                    ``sqrt((1-t) / (1+t^2))``
    ==================  ==========================  ===================================

    ``ddm_public_input_only`` is ``ddm_public`` with raw outputs. Where outputs are raw,
    ``c_out = 1``, and so are the weights of ``OptimalWeighting``: use ``TimeWeighting``
    for those of Table V. The newer published unconditional networks have the default
    scaling with ``sigma_data=1``.

    Args:
        sigma_data: standard deviation sigma_d of the images (or latents); 0.5 if not
            given. Published scalings are for 1.
        scaling: a name in ``SCALINGS``.
        predicts: a name in ``PREDICTIONS``: 'phi_eps' for a head with two decoders;
            'phi', 'eps' or 'velocity' (``dx_t/dt``, raw) for one decoder; the rest is
            solved from ``x_t``. 'velocity_noise' is for :class:`CLDProcess`.
    """

    def __init__(
        self,
        sigma_data: float | None = None,
        scaling: str = 'unit_variance',
        predicts: str = 'phi_eps',
    ) -> None:
        _check_name('scaling', scaling, SCALINGS)
        _check_name('predicts', predicts, PREDICTIONS)
        published = scaling in _PUBLISHED
        if published and sigma_data not in (None, 1):
            raise ValueError(
                f'The published scaling {scaling!r} is for data of standard deviation '
                f'1, but sigma_data={sigma_data}. Leave sigma_data out, or use '
                "scaling='unit_variance'."
            )
        if sigma_data is None:
            sigma_data = 1.0 if published else 0.5
        if not sigma_data > 0:
            raise ValueError(
                'The standard deviation of the data must be positive, but sigma_data='
                f'{sigma_data}. Natural images in [-1, 1] have about 0.5.'
            )
        self.sigma_data = sigma_data
        self.scaling = scaling
        self.predicts = predicts

    def coefficients(self, process: ADMProcess, t: Tensor | float) -> Coefficients:
        """Coefficients at times t (N,), in float64 on the CPU.

        Some devices have no float64, and the numbers are few.
        """
        if not isinstance(t, Tensor):
            return _at(self.scaling, process, float(t), self.sigma_data)
        return SCALINGS[self.scaling](process, t.cpu().double(), self.sigma_data)

    def needed(self, process: ADMProcess, t: Tensor | float) -> tuple[bool, ...]:
        """For each decoder, whether its output has an effect at a time.

        At t = 1 the default scaling multiplies the noise decoder's output by exactly 0:
        eps is ``x_t`` itself, and the decoder need not be computed. For drawn times of
        training, a tensor, all decoders are needed, so that all ranks take the same
        decision.
        """
        names = PREDICTIONS[self.predicts].names
        if isinstance(t, Tensor):
            return (True,) * len(names)
        return _needed(self.scaling, process, float(t), self.sigma_data, names)

    def describe(self, process: ADMProcess) -> str:
        """The scaling in numbers: weights trained with one do not fit another."""
        c = self.coefficients(process, torch.tensor([0.5]))

        def number(x: Tensor) -> str:
            # Zero without a sign.
            return f'{float(x) + 0.0:.3g}'

        phi = ', '.join(
            f'{number(skip)} x + {number(out)} F'
            for skip, out in zip(c.phi_skip[0], c.phi_out[0])
        )
        return (
            f'at t = 0.5 input {number(c.c_in)} x, {number(c.c_noise)}; phi = {phi}; '
            f'eps = {number(c.eps_skip)} x + {number(c.eps_out)} F'
        )

    def __call__(
        self, network: Network, process: ADMProcess, x_t: Tensor, t: Tensor | float
    ) -> tuple[Tensor, Tensor]:
        """``phi_theta, eps_theta = Net_theta(x_t, t)`` (Alg. 1 line 6, Alg. 2 line 3).

        Args:
            network: gives one raw output per decoder.
            process: the diffusion process.
            x_t: noisy image (N, C, H, W).
            t: times (N,), best on the CPU; or a number where all images share one.

        Returns:
            phi (N, P*C, H, W) and eps (N, C, H, W).

        Raises:
            ValueError: a time is outside [t_min, 1], where no network is trained
                (checked for numbers and for times on the CPU, where it needs no
                synchronisation); or the outputs do not fit ``predicts``.
        """
        # Up to the rounding of float32.
        if not within(t, process.t_min * (1 - 1e-6)):
            raise ValueError(
                f'Networks are trained for times from t_min={process.t_min} to 1, but '
                f't={listed(t)}. Choose a time grid whose last step starts at t_min or '
                'later.'
            )
        # Copied to the device before the network runs: a later copy would wait for it.
        c = self.coefficients(process, t).to(x_t)
        state = State(process, x_t, t.to(x_t) if isinstance(t, Tensor) else t, c)
        outputs = network(_over(c.c_in, x_t) * x_t, c.c_noise)
        prediction = PREDICTIONS[self.predicts]
        self._check_outputs(outputs, prediction.names, process, x_t)
        return prediction.complete(state, *outputs)

    def _check_outputs(
        self,
        outputs: tuple[Tensor | None, ...],
        names: tuple[str, ...],
        process: ADMProcess,
        x_t: Tensor,
    ) -> None:
        channels = x_t.shape[1]
        widths = {
            'phi': process.attenuation.num_params * channels,
            'velocity noise': channels // 2,
        }
        expected = tuple(widths.get(name, channels) for name in names)
        actual = tuple(None if raw is None else raw.shape[1] for raw in outputs)
        fitting = len(actual) == len(expected)
        fitting &= all(a in (None, e) for a, e in zip(actual, expected))
        if not fitting:
            raise ValueError(
                f'With {type(process.attenuation).__name__} and predicts='
                f'{self.predicts!r} the head must output {" and ".join(names)} of '
                f'{expected} channels, but its outputs have {actual}. Set out_channels '
                "of the head; or set predicts of the preconditioner: 'phi_eps' for a "
                "head with two decoders, 'phi', 'eps' or 'velocity' for one."
            )


def _check_name(argument: str, name: str, table: dict) -> None:
    if name not in table:
        raise ValueError(
            f'The preconditioner has no {argument}={name!r}. Use one of '
            f'{sorted(table)}.'
        )


def _over(value: Tensor, x: Tensor) -> Tensor:
    """One value per image, (N,), in a shape that broadcasts over ``x``."""
    return value.view(-1, *[1] * (x.dim() - 1))
