"""Samplers: from noise to an image along the reverse process."""

from collections.abc import Callable
from itertools import pairwise

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


@SAMPLERS.register_module()
class ADMSampler(Sampler):
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
        for i, (t, r) in enumerate(pairwise(self.times(process, num_steps))):
            phi, eps = denoise(x_t, t)  # line 3
            x0 = self.estimate(process, x_t, phi, eps, t)
            if callback is not None:
                callback(i, t, x_t, x0)
            if self.correct:
                phi = process.attenuation.correct(phi, x0)

            xi = noise() if self.eta > 0 and r > 0 else None
            x_t = process.step(x_t, phi, eps, t, t - r, self.eta, xi)  # line 4 to 8
        return x_t if self.clip is None else x_t.clamp(-self.clip, self.clip)  # line 10


@SAMPLERS.register_module()
class RecomposingSampler(Sampler):
    """The authors' deterministic rule for pixels: ``x_r`` from the clipped estimate.

        x_r = x0_hat + H_r(phi) + b(r) eps

    Without clipping it is ``ADMSampler(eta=0, correct=False)``; with it, the state
    follows the clipped image.
    """

    def __call__(
        self,
        denoise: Denoiser,
        process: ADMProcess,
        noise: NoiseSource,
        num_steps: int | None = None,
        callback: Callback | None = None,
    ) -> Tensor:
        """Draw images; arguments as in :meth:`ADMSampler.__call__`."""
        x_t = noise()
        for i, (t, r) in enumerate(pairwise(self.times(process, num_steps))):
            phi, eps = denoise(x_t, t)
            x0 = self.estimate(process, x_t, phi, eps, t)
            if callback is not None:
                callback(i, t, x_t, x0)
            x_t = process.diffuse(x0, phi, eps, r)
        return x_t


@SAMPLERS.register_module()
class EulerMaruyamaSampler(Sampler):
    """Euler-Maruyama steps of the reverse SDE, Eq. (3) to (5): Table II's baseline.

    x_{t-s} = x_t - s drift + sqrt(s) diffusion xi
    """

    def __call__(
        self,
        denoise: Denoiser,
        process: ADMProcess,
        noise: NoiseSource,
        num_steps: int | None = None,
        callback: Callback | None = None,
    ) -> Tensor:
        """Draw images; arguments as in :meth:`ADMSampler.__call__`."""
        x_t = noise()
        for i, (t, r) in enumerate(pairwise(self.times(process, num_steps))):
            phi, eps = denoise(x_t, t)
            if callback is not None:
                callback(i, t, x_t, self.estimate(process, x_t, phi, eps, t))
            drift, diffusion = process.reverse_sde(x_t, phi, eps, t)
            x_t = x_t - (t - r) * drift
            if r > 0:
                x_t = x_t + diffusion * (t - r) ** 0.5 * noise()
        return x_t if self.clip is None else x_t.clamp(-self.clip, self.clip)
