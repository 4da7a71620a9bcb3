"""Samplers of the reverse process that use the latest output only: Algorithm 2."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import lru_cache
from itertools import count, pairwise
from typing import NamedTuple

from torch import Tensor

from mmadm.registry import SAMPLERS, build

from .grids import ShowsSettings, TimeGrid, UniformGrid, check_num_steps
from .process import ADMProcess, check_eta

#: (x_t, t) -> (phi, eps): the predictions of the two decoders; any callable fits.
Denoiser = Callable[[Tensor, float], tuple[Tensor, Tensor]]
#: () -> standard normal noise of the state's shape, new at each call.
NoiseSource = Callable[[], Tensor]
#: (i, t, x_t, x0_hat), called after the i-th function evaluation.
Callback = Callable[[int, float, Tensor, Tensor], None]


class Sampler(ShowsSettings, ABC):
    """Base class of samplers: from noise to images, along a time grid.

    Args:
        num_steps: N, the default number of steps; each is one function evaluation.
        grid: time grid, or its config.
        clip: the image estimate is clipped to +-``clip`` (1 for pixels, None for
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

    def __call__(
        self,
        denoise: Denoiser,
        process: ADMProcess,
        noise: NoiseSource,
        num_steps: int | None = None,
        callback: Callback | None = None,
    ) -> Tensor:
        """Sample images.

        Args:
            denoise: (x_t, t) -> (phi, eps).
            process: the process to reverse.
            noise: source of standard normal noise; its first output is ``x_1 / b(1)``
                and defines shape, device and precision of the sampling state.
            num_steps: number of function evaluations (NFE); None takes the sampler's
                default.
            callback: called after every function evaluation.

        Returns:
            images (N, C, H, W) in the range of the training data.

        Raises:
            ValueError: the sampler does not have this number of steps.
        """
        numbers = count()

        def evaluate(x_t: Tensor, t: float) -> tuple[Tensor, Tensor]:
            phi, eps = denoise(x_t, t)
            if callback is not None:
                x0 = self.estimate(process, x_t, phi, eps, t)
                callback(next(numbers), t, x_t, x0)
            return phi, eps

        x_1 = process.initial_std * noise()  # Alg. 2, line 1
        num_steps = self.num_steps if num_steps is None else num_steps
        x_0 = self.reverse(process, evaluate, x_1, num_steps, noise)
        return x_0 if self.clip is None else x_0.clamp(-self.clip, self.clip)  # line 10

    @abstractmethod
    def reverse(
        self,
        process: ADMProcess,
        denoise: Denoiser,
        x_t: Tensor,
        num_steps: int,
        noise: NoiseSource,
    ) -> Tensor:
        """From ``x_1`` to ``x_0``; the arguments are those of :meth:`__call__`."""

    def times(self, process: ADMProcess, num_steps: int | None = None) -> list[float]:
        """The N + 1 times from 1 to 0; the network is evaluated at the first N.

        Raises:
            ValueError: the number of steps is not a positive integer.
        """
        num_steps = self.num_steps if num_steps is None else num_steps
        return list(_times(self.grid, check_num_steps(num_steps), process))

    def estimate(
        self, process: ADMProcess, x_t: Tensor, phi: Tensor, eps: Tensor, t: float
    ) -> Tensor:
        """The image that both outputs together predict, clipped."""
        x0 = process.denoised(x_t, phi, eps, t)
        return x0 if self.clip is None else x0.clamp(-self.clip, self.clip)


# Cached, so that they are constants of an exported graph.
@lru_cache(maxsize=256)
def _times(grid: TimeGrid, num_steps: int, process: ADMProcess) -> tuple[float, ...]:
    return tuple(grid(num_steps, process).tolist())


class StepInput(NamedTuple):
    """State and predictions from which a step is computed."""

    x_t: Tensor
    phi: Tensor
    eps: Tensor
    #: The image that phi and eps together predict, clipped.
    x0: Tensor
    t: float
    #: Time after the step.
    r: float


class SingleStepSampler(Sampler):
    """Base class of samplers without a history of outputs."""

    def reverse(
        self,
        process: ADMProcess,
        denoise: Denoiser,
        x_t: Tensor,
        num_steps: int,
        noise: NoiseSource,
    ) -> Tensor:
        """The loop of Algorithm 2."""
        for t, r in pairwise(self.times(process, num_steps)):  # Alg. 2, line 2
            phi, eps = denoise(x_t, t)  # line 3
            x0 = self.estimate(process, x_t, phi, eps, t)
            inputs = StepInput(x_t, phi, eps, x0, t, r)
            x_t = self.step(process, inputs, noise)  # line 4 to 9
        return x_t

    @abstractmethod
    def step(
        self, process: ADMProcess, inputs: StepInput, noise: NoiseSource
    ) -> Tensor:
        """The state after one step, ``x_r`` (N, C, H, W)."""


@SAMPLERS.register_module()
class ADMSampler(SingleStepSampler):
    """Algorithm 2 on a time grid; deterministic with ``eta = 0``.

    Args:
        num_steps: N, the default number of steps (NFE).
        grid: time grid, or its config.
        clip: bound of the image estimate.
        eta: noise level of the steps: 1 is Algorithm 2, 0 draws noise only once.
        correct: replace the predicted phi by the one that leads to the image estimate
            of both outputs, as the authors' stochastic samplers do.
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

    def step(
        self, process: ADMProcess, inputs: StepInput, noise: NoiseSource
    ) -> Tensor:
        """Eq. (11); Alg. 2, line 4 to 8."""
        x_t, phi, eps, x0, t, r = inputs
        phi = process.attenuation.correct(phi, x0) if self.correct else phi
        xi = noise() if self.eta > 0 and r > 0 else None
        return process.step(x_t, phi, eps, t, t - r, self.eta, xi)


@SAMPLERS.register_module()
class MeanEstimateSampler(ADMSampler):
    """Algorithm 2 that returns the mean of the image estimates of all its steps.

    A sample is one of the images that fit the condition, and its squared error contains
    the variance of these images. The mean of the estimates ``x0_hat`` along the
    trajectory removes most of that variance, for the cost of one sample: more fidelity
    (PSNR, MAE), less detail. The arguments are those of :class:`ADMSampler`.
    """

    def __call__(
        self,
        denoise: Denoiser,
        process: ADMProcess,
        noise: NoiseSource,
        num_steps: int | None = None,
        callback: Callback | None = None,
    ) -> Tensor:
        """Mean image estimate (N, C, H, W); see :class:`Sampler`."""
        total, count = 0.0, 0

        def add(i: int, t: float, x_t: Tensor, x0: Tensor) -> None:
            nonlocal total, count
            total, count = total + x0, count + 1
            if callback is not None:
                callback(i, t, x_t, x0)

        super().__call__(denoise, process, noise, num_steps, add)
        return total / count


@SAMPLERS.register_module()
class RecomposingSampler(SingleStepSampler):
    """The authors' deterministic sampler for pixels: diffuses the clipped estimate.

        x_r = x0_hat + H_r(phi) + b(r) eps

    Without clipping it equals ``ADMSampler(eta=0, correct=False)``.
    """

    def step(
        self, process: ADMProcess, inputs: StepInput, noise: NoiseSource
    ) -> Tensor:
        """Eq. (7) at the time r."""
        return process.diffuse(inputs.x0, inputs.phi, inputs.eps, inputs.r)


@SAMPLERS.register_module()
class EulerMaruyamaSampler(SingleStepSampler):
    """Euler-Maruyama sampler of the reverse SDE, Eq. (3) to (5): baseline of Table II.

    x_{t-s} = x_t - s drift + sqrt(s) diffusion xi
    """

    def step(
        self, process: ADMProcess, inputs: StepInput, noise: NoiseSource
    ) -> Tensor:
        """One step of the SDE; the last one adds no noise."""
        x_t, phi, eps, _, t, r = inputs
        return euler_maruyama(process, x_t, phi, eps, t, r, noise)


def euler_maruyama(
    process: ADMProcess,
    x_t: Tensor,
    phi: Tensor,
    eps: Tensor,
    t: float,
    r: float,
    noise: NoiseSource,
) -> Tensor:
    """One step of the reverse SDE from t to r; without noise where r is 0."""
    drift, diffusion = process.reverse_sde(x_t, phi, eps, t)
    mean = x_t - (t - r) * drift
    return mean + (t - r) ** 0.5 * diffusion * noise() if r > 0 else mean
