"""From an image back to its noise, and between two noises."""

import torch
from torch import Tensor

from .process import ADMProcess
from .samplers import Denoiser
from .solver import Answer, MultistepSampler, Step


def encode(
    sampler: MultistepSampler,
    denoise: Denoiser,
    process: ADMProcess,
    x0: Tensor,
    num_steps: int | None = None,
) -> Tensor:
    """The noise from which the deterministic rule draws ``x0``.

    Runs the probability-flow ODE from the image at t = 0 to t = 1 with the sampler's
    grid and polynomials, whatever its ``eta``. The network does not know t = 0 and is
    asked at ``t_min`` there; grid times down there are left out.

    Args:
        sampler: the solver that will draw the image again.
        denoise: (x_t, t) -> (phi, eps).
        process: the process.
        x0: images (N, C, H, W), in the range of the training data.
        num_steps: the number of network calls at most; None takes the sampler's own.

    Returns:
        noise (N, C, H, W): for the sampler to start from, or for :func:`slerp`.
    """

    def ask(i: int, x_t: Tensor, t: float) -> Answer:
        t = max(t, process.t_min)
        return Answer(t, *(part.double() for part in denoise(x_t.to(x0.dtype), t)))

    def advance(
        x_t: Tensor, t: float, r: float, past: list[Answer]
    ) -> tuple[Step, list[Answer]]:
        _, phi, eps = past[0]
        ends = torch.tensor([t, r], dtype=torch.float64).to(x_t.device)
        start, end = (process.attenuation.integral(phi, time) for time in ends)
        x_r = x_t + end - start + process.noise.std(ends).diff() * eps
        return Step(x_r, t, r, gain=1.0), past

    times = reversed(sampler.times(process, num_steps)[:-1])
    times = [0.0, *(t for t in times if t > 2 * process.t_min)]
    return sampler.integrate(process, ask, advance, x0.double(), times).to(x0.dtype)


def slerp(start: Tensor, end: Tensor, share: float) -> Tensor:
    """Noise between two noises (N, C, H, W), on the great circle through them.

    A straight line would leave the shell on which normal noise lives.
    """
    cosine = torch.cosine_similarity(start.flatten(1), end.flatten(1)).clamp(-1, 1)
    # Equal noises span no circle: the smallest angle makes it the straight line.
    angle = torch.acos(cosine).clamp(min=1e-6).view(-1, 1, 1, 1)
    near, far = torch.sin((1 - share) * angle), torch.sin(share * angle)
    return (near * start + far * end) / torch.sin(angle)
