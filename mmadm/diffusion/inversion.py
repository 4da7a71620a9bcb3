"""Inversion: from an image to its noise; interpolation between two noises."""

import torch
from torch import Tensor

from .process import ADMProcess, widest
from .samplers import Denoiser
from .solver import MultistepSampler, Output, Step


def encode(
    sampler: MultistepSampler,
    denoise: Denoiser,
    process: ADMProcess,
    x0: Tensor,
    num_steps: int | None = None,
) -> Tensor:
    """The noise from which a deterministic sampler generates ``x0`` (DDIM inversion).

    Solves the probability-flow ODE from the image at t = 0 to t = 1 with the sampler's
    grid and polynomials; its ``eta`` is ignored. The network is not trained at t = 0
    and is evaluated at ``t_min`` instead; grid times close to ``t_min`` are left out.

    Args:
        sampler: the sampler that will generate the image again.
        denoise: (x_t, t) -> (phi, eps).
        process: the process.
        x0: images (N, C, H, W), in the range of the training data.
        num_steps: the largest number of function evaluations; None takes the sampler's
            default.

    Returns:
        noise (N, C, H, W), the initial state of the sampler divided by b(1).
    """

    def evaluate(x_t: Tensor, t: float) -> Output:
        t = max(t, process.t_min)
        return Output(t, *map(widest, denoise(x_t.to(x0.dtype), t)))

    def take_step(
        x_t: Tensor, t: float, r: float, past: list[Output]
    ) -> tuple[Step, list[Output]]:
        _, phi, eps = past[0]
        ends = torch.tensor([t, r], dtype=torch.float64)
        start, end = (process.attenuation.integral(phi, time) for time in ends)
        x_r = x_t + end - start + float(process.noise.std(ends).diff()) * eps
        return Step(x_r, t, r, gain=1.0), past

    times = reversed(sampler.times(process, num_steps)[:-1])
    times = [0.0, *(t for t in times if t > 2 * process.t_min)]
    x_1 = sampler.integrate(process, evaluate, take_step, widest(x0), times)
    return (x_1 / process.initial_std).to(x0.dtype)


def slerp(start: Tensor, end: Tensor, weight: float) -> Tensor:
    """Spherical linear interpolation between two noises (N, C, H, W).

    Linear interpolation would reduce the norm, and networks are not trained on that.

    Args:
        start: noise at ``weight`` 0.
        end: noise at ``weight`` 1.
        weight: position between the two.
    """
    cosine = torch.cosine_similarity(start.flatten(1), end.flatten(1)).clamp(-1, 1)
    # The lower bound makes the interpolation of equal noises linear.
    angle = torch.acos(cosine).clamp(min=1e-6).view(-1, 1, 1, 1)
    near, far = torch.sin((1 - weight) * angle), torch.sin(weight * angle)
    return (near * start + far * end) / torch.sin(angle)
