"""Coefficients with which the network's input and outputs are scaled."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product

import torch
from torch import Tensor

from .cld import CLDProcess
from .process import ADMProcess


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
    check_cld(process)
    one = torch.ones_like(t)
    return Coefficients(
        c_in=one,
        c_noise=t.log(),
        phi_skip=0 * one[:, None],
        phi_out=one[:, None],
        eps_skip=process.velocity_skip(t, sigma_data),
        eps_out=one,
    )


def check_cld(process: ADMProcess) -> None:
    if not isinstance(process, CLDProcess):
        raise ValueError(
            "The scaling 'cld' and the prediction 'velocity_noise' are for CLDProcess, "
            f'whose state has a velocity, but the process is {type(process).__name__}. '
            'Use others, or process=dict(type=CLDProcess).'
        )


#: Those of published networks, whose latents have the standard deviation 1.
PUBLISHED: dict[str, Scaling] = {
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
    **PUBLISHED,
}
