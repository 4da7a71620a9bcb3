"""Log-likelihood of images: the probability-flow ODE with its divergence."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from .grids import check_num_steps
from .process import ADMProcess, widest
from .samplers import Denoiser

#: (x, u) -> dx/du (N, C, H, W) and its divergence (N,).
Field = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def log_likelihood(
    denoise: Denoiser,
    process: ADMProcess,
    x_t: Tensor,
    num_steps: int = 16,
    probes: Tensor | None = None,
) -> Tensor:
    """Log density of the model at time ``t_min``, evaluated at ``x_t``.

        dx/dt = h_t(phi) + b'(t) eps,      d log p / dt = -div(dx/dt)

    from ``t_min`` to 1, where p is the normal density of variance b^2(1) (Chen et al.,
    Neural Ordinary Differential Equations, 2018). The ODE is solved by Runge-Kutta
    steps of order four, evenly spaced in the fourth root of time: the steps are small
    near the image, where the density changes fastest. Valid for attenuations that are
    linear in ``phi``: all of Fig. 7 except the sine.

    Args:
        denoise: (x_t, t) -> (phi, eps), differentiable; the outputs of an image must
            not depend on the rest of the batch.
        process: the process; for VP the density at t = 1 is normal up to ``alpha_1``.
        x_t: the points (N, C, H, W), usually images, in the range of the training data.
        num_steps: number of steps; each has 4 function evaluations, with one backward
            pass per probe.
        probes: directions (K, N, C, H, W) of :func:`rademacher` for Hutchinson's
            unbiased estimate of the divergence. None computes it exactly, with the
            C*H*W unit vectors.

    Returns:
        log densities in nats (N,), float64, without gradient.

    Raises:
        ValueError: ``num_steps`` is not a positive integer, or too large.
    """
    num_steps = check_num_steps(num_steps)
    probes = _axes(x_t) if probes is None else probes.to(widest(x_t))

    def field(x: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        t = u**4
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            phi, eps = map(widest, denoise(x.to(x_t.dtype), float(t)))
            std_rate = process.noise.variance_rate(t) / (2 * process.noise.std(t))
            slope = 4 * u**3 * (process.attenuation.rate(phi, t) + std_rate * eps)
        return slope.detach(), _divergence(slope, x, probes)

    nodes = torch.linspace(process.t_min**0.25, 1, num_steps + 1, dtype=torch.float64)
    x, total = widest(x_t), 0.0
    for start, end in pairwise(nodes):
        x, divergence = _runge_kutta(field, x, start, end)
        total = total + divergence
    variance = process.initial_std**2
    prior = x.square() / variance + math.log(2 * math.pi * variance)
    return total - prior.flatten(1).sum(1) / 2


def rademacher(x_t: Tensor, seeds: Sequence[int], count: int = 1) -> Tensor:
    """Random signs for Hutchinson's estimate; each image has its own random stream.

    Args:
        x_t: images (N, C, H, W); only their shape is used.
        seeds: one per image.
        count: K, the number of probes per image; the error falls as ``1/sqrt(K)``.

    Returns:
        probes (K, N, C, H, W), divided by ``sqrt(K)`` so that the estimates add up.

    Raises:
        ValueError: ``count`` is below 1, or there is not one seed per image.
    """
    if count < 1:
        raise ValueError(
            f"Hutchinson's estimate needs at least one probe, but count={count}. "
            'Give 1 or more, or no probes at all for the exact divergence.'
        )
    if len(seeds) != len(x_t):
        raise ValueError(
            f'Each image needs its own seed, but there are {len(seeds)} seeds for '
            f'{len(x_t)} images. Give one per image, such as its index in the dataset.'
        )
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    shape = (count, *x_t.shape[1:])
    bits = [torch.randint(2, shape, generator=generator) for generator in generators]
    return (2 * torch.stack(bits, 1).double() - 1) / count**0.5


def bits_per_dim(log_p: Tensor, x_t: Tensor) -> Tensor:
    """Bits per dimension, ``-log2 p / (C*H*W)`` (N,), for a density per unit of x_t.

    They may be negative.

    Args:
        log_p: log densities in nats (N,).
        x_t: the images (N, C, H, W).
    """
    return -log_p / (x_t[0].numel() * math.log(2))


def _axes(x_t: Tensor) -> Tensor:
    """The unit vectors of an image as probes (C*H*W, N, C, H, W)."""
    axes = torch.eye(x_t[0].numel()).to(widest(x_t))
    return axes.view(-1, 1, *x_t.shape[1:]).expand(-1, *x_t.shape)


def _divergence(slope: Tensor, x: Tensor, probes: Tensor) -> Tensor:
    """Sum over the probes v of ``v^T J v`` (N,), with J the Jacobian of each image."""
    total = 0.0
    for probe in probes:
        (product,) = torch.autograd.grad(slope, x, probe, retain_graph=True)
        total = total + (product * probe).flatten(1).sum(1)
    return total


def _runge_kutta(
    field: Field, x: Tensor, start: Tensor, end: Tensor
) -> tuple[Tensor, Tensor]:
    """One step: x at its end, and the divergence integrated over it."""
    step, middle = end - start, (start + end) / 2
    k1 = field(x, start)
    k2 = field(x + step / 2 * k1[0], middle)
    k3 = field(x + step / 2 * k2[0], middle)
    k4 = field(x + step * k3[0], end)

    parts = zip(k1, k2, k3, k4)
    change, divergence = (step / 6 * (a + 2 * b + 2 * c + d) for a, b, c, d in parts)
    return x + change, divergence
