"""Samplers: from noise to an image along the reverse process."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor

from mmadm.registry import SAMPLERS, build

from .grids import TimeGrid, UniformGrid
from .process import ADMProcess, check_eta

#: (x_t, t) -> (phi, eps): the two decoders' answers; any callable will do.
Denoiser = Callable[[Tensor, float], tuple[Tensor, Tensor]]
#: () -> standard normal noise of the sample's shape, new at each call.
NoiseSource = Callable[[], Tensor]
#: (i, t, x_t, x0_hat), called after the i-th network call.
Callback = Callable[[int, float, Tensor, Tensor], None]


class Sampler:
    """What all samplers share: the grid, and how an image estimate is made.

    Args:
        num_steps: N, the number of network calls, if a call does not give its own.
        grid: time grid, or its config.
        clip: the image estimate is kept within +-``clip`` (1 for pixels, None for
            latents).
    """

    def __init__(
        self,
        num_steps: int = 10,
        grid: TimeGrid | dict = dict(type=UniformGrid),
        clip: float | None = None,
    ) -> None:
        self.num_steps = num_steps
        self.grid: TimeGrid = build(SAMPLERS, grid)
        self.clip = clip

    def times(self, process: ADMProcess, num_steps: int | None = None) -> list[float]:
        """The N + 1 times from 1 to 0; the network is called at the first N.

        Raises:
            ValueError: the number of steps is not a positive integer.
        """
        num_steps = self.num_steps if num_steps is None else num_steps
        return self.grid(num_steps, process).tolist()

    def estimate(
        self, process: ADMProcess, x_t: Tensor, phi: Tensor, eps: Tensor, t: float
    ) -> Tensor:
        """The image that both outputs together predict, clipped."""
        x0 = process.denoised(x_t, phi, eps, t)
        return x0 if self.clip is None else x0.clamp(-self.clip, self.clip)


class Moment(NamedTuple):
    """What is known when a step is taken."""

    x_t: Tensor
    phi: Tensor
    eps: Tensor
    #: The image that phi and eps together predict, clipped.
    x0: Tensor
    t: float
    #: Where the step goes.
    r: float


class SingleStepSampler(Sampler, ABC):
    """Samplers whose step needs the present answer alone: the loop of Algorithm 2."""

    def __call__(
        self,
        denoise: Denoiser,
        process: ADMProcess,
        noise: NoiseSource,
        num_steps: int | None = None,
        callback: Callback | None = None,
    ) -> Tensor:
        """Draw images.

        Args:
            denoise: (x_t, t) -> (phi, eps).
            process: the process to reverse.
            noise: source of standard normal noise; its first answer is ``x_1`` and
                decides shape, device and precision of the sampling state.
            num_steps: N; None takes the sampler's own.
            callback: sees every step.

        Returns:
            images (N, C, H, W) in the range of the training data.
        """
        x_t = noise()  # Alg. 2, line 1
        times = self.times(process, num_steps)
        for i, (t, r) in enumerate(pairwise(times)):  # line 2
            phi, eps = denoise(x_t, t)  # line 3
            x0 = self.estimate(process, x_t, phi, eps, t)
            if callback is not None:
                callback(i, t, x_t, x0)
            now = Moment(x_t, phi, eps, x0, t, r)
            x_t = self.advance(process, now, noise)  # line 4 to 9
        return x_t if self.clip is None else x_t.clamp(-self.clip, self.clip)  # line 10

    @abstractmethod
    def advance(self, process: ADMProcess, now: Moment, noise: NoiseSource) -> Tensor:
        """``x_r`` (N, C, H, W)."""


@SAMPLERS.register_module()
class ADMSampler(SingleStepSampler):
    """Algorithm 2 on a time grid; with ``eta = 0`` the deterministic rule.

    Args:
        num_steps: N, the number of network calls.
        grid: time grid, or its config.
        clip: bound of the image estimate.
        eta: 1 is Algorithm 2, 0 draws no noise after the start.
        correct: replace phi by the one that leads to the estimate of both outputs, as
            the authors' stochastic samplers do; False takes phi as predicted.
    """

    def __init__(
        self,
        num_steps: int = 10,
        grid: TimeGrid | dict = dict(type=UniformGrid),
        clip: float | None = None,
        eta: float = 1.0,
        correct: bool = True,
    ) -> None:
        super().__init__(num_steps, grid, clip)
        check_eta(eta)
        self.eta = eta
        self.correct = correct

    def advance(self, process: ADMProcess, now: Moment, noise: NoiseSource) -> Tensor:
        """Eq. (11); Alg. 2, line 4 to 8."""
        phi = process.attenuation.correct(now.phi, now.x0) if self.correct else now.phi
        xi = noise() if self.eta > 0 and now.r > 0 else None
        s = now.t - now.r
        return process.step(now.x_t, phi, now.eps, now.t, s, self.eta, xi)


@SAMPLERS.register_module()
class RecomposingSampler(SingleStepSampler):
    """The authors' deterministic rule for pixels: ``x_r`` from the clipped estimate.

        x_r = x0_hat + H_r(phi) + b(r) eps

    Without clipping it is ``ADMSampler(eta=0, correct=False)``; with it, the state
    follows the clipped image.
    """

    def advance(self, process: ADMProcess, now: Moment, noise: NoiseSource) -> Tensor:
        """Eq. (7) at the time r."""
        return process.diffuse(now.x0, now.phi, now.eps, now.r)


@SAMPLERS.register_module()
class EulerMaruyamaSampler(SingleStepSampler):
    """Euler-Maruyama steps of the reverse SDE, Eq. (3) to (5): Table II's baseline.

    x_{t-s} = x_t - s drift + sqrt(s) diffusion xi
    """

    def advance(self, process: ADMProcess, now: Moment, noise: NoiseSource) -> Tensor:
        """One step of the SDE; the last one draws no noise."""
        drift, diffusion = process.reverse_sde(now.x_t, now.phi, now.eps, now.t)
        s = now.t - now.r
        mean = now.x_t - s * drift
        return mean + s**0.5 * diffusion * noise() if now.r > 0 else mean
