"""The forward and the reverse process of the paper: Eq. (6) to (11)."""

from functools import lru_cache

import torch
from torch import Tensor

from mmadm.registry import ATTENUATIONS, MODELS, build

from .attenuation import Attenuation, ConstantAttenuation, ShapedNoise
from .noise_path import NoisePath, WienerNoise
from .times import TrainingTimes, UniformTimes

#: Apple's GPUs.
DEVICES_WITHOUT_FLOAT64 = frozenset({'mps'})


@MODELS.register_module()
class ADMProcess:
    """Diffusion process with Analytical image Attenuation, Eq. (6):

        x_t = x0 + H_t(phi) + b(t) eps,      x0 + H_1 = 0,      b(t) = sqrt(t)

    Times ``t`` are in [0, 1]: a number, a scalar tensor, or one time per image (N,).

    Args:
        attenuation: ``h_t``, or its config.
        noise: b(t), or its config.
        t_min: the smallest time of training and of the last denoising (Table I,
            Sec. V-A).
        time_power: training times are the quantiles of ``times`` at ``u^time_power``
            with u uniform in [0, 1]. 1 is the paper's rule; with larger values small
            times, at which most of the image is visible, are trained more often; with 0
            only t = 1 is trained, at which nothing of it is visible: plain regression.
        times: distribution of the training times, or its config.
    """

    def __init__(
        self,
        attenuation: Attenuation | dict = dict(type=ConstantAttenuation),
        noise: NoisePath | dict = dict(type=WienerNoise),
        t_min: float = 1e-4,
        time_power: float = 1.0,
        times: TrainingTimes | dict = dict(type=UniformTimes),
    ) -> None:
        if not 0 < t_min < 1:
            raise ValueError(
                f'The smallest time must lie between 0 and 1, but t_min={t_min}. '
                'The paper uses 1e-3 (unconditional) and 1e-4 (Table I).'
            )
        self.attenuation: Attenuation = build(ATTENUATIONS, attenuation)
        self.noise: NoisePath = build(MODELS, noise)
        if not time_power >= 0:
            raise ValueError(
                'The power of training times must not be negative, but time_power='
                f'{time_power}. Give 1 (uniform times), 2 for more small times, or 0 '
                'for t = 1 only.'
            )
        self.t_min = t_min
        self.time_power = time_power
        self.times: TrainingTimes = build(MODELS, times)

    @property
    def initial_std(self) -> float:
        """b(1), the standard deviation of ``x_1``, from which sampling starts."""
        return self.noise_level(1.0)

    def noise_level(self, t: float) -> float:
        """b(t) as a number; cached, so that it is a constant of an exported graph."""
        return _noise_level(self.noise, float(t))

    @property
    def trained_time(self) -> float | None:
        """The only time that is trained; None where times are drawn."""
        return 1.0 if self.time_power == 0 else None

    def training_time(self, u: Tensor) -> Tensor:
        """Times in [t_min, 1] from uniform numbers in [0, 1]; Alg. 1, line 3."""
        return self.times(u**self.time_power, self)

    def target(self, x0: Tensor, noise: ShapedNoise) -> Tensor:
        """The training target of the image decoder: a ``phi`` with ``x0 + H_1 = 0``.

        Args:
            x0: clean image (N, C, H, W).
            noise: source of the drawn parameters; see :meth:`Attenuation.draw`.
        """
        return self.attenuation.draw(x0, noise)

    def diffuse(
        self, x0: Tensor, phi: Tensor, eps: Tensor, t: Tensor | float
    ) -> Tensor:
        """Draw ``x_t`` from q(x_t | x0), Eq. (7); Alg. 1, line 4 and 5.

        Args:
            x0: clean image (N, C, H, W).
            phi: attenuation parameters (N, P*C, H, W).
            eps: standard normal noise (N, C, H, W).
            t: time.
        """
        self._check_channels(phi, x0)
        t = self.expand_time(t, x0)
        return x0 + self.attenuation.integral(phi, t) + self.noise.std(t) * eps

    def denoised(
        self, x_t: Tensor, phi: Tensor, eps: Tensor, t: Tensor | float
    ) -> Tensor:
        """The image that both outputs together predict: Eq. (7) solved for ``x0``."""
        self._check_channels(phi, x_t)
        t = self.expand_time(t, x_t)
        return x_t - self.attenuation.integral(phi, t) - self.noise.std(t) * eps

    def image(self, phi: Tensor) -> Tensor:
        """The image that ``phi`` alone predicts: ``x0 = -H_1``."""
        return self.attenuation.image(phi)

    def bridge_variance(self, t: Tensor, r: Tensor) -> Tensor:
        """Variance of q(x_r | x_t, x0), r < t, Eq. (8): a Brownian bridge.

        With ``b^2(t) = t`` and r = t - s it is ``s (t - s) / t``, Eq. (9) and (11).
        """
        var_t, var_r = self.noise.std(t) ** 2, self.noise.std(r) ** 2
        return var_r * (var_t - var_r) / var_t

    def renoise(
        self, x_t: Tensor, phi: Tensor, xi: Tensor, t: float, later: float
    ) -> Tensor:
        """Draw ``x_later`` from q(x_later | x_t, x0): back to a later time, Eq. (6).

        Args:
            x_t: noisy image (N, C, H, W).
            phi: attenuation parameters (N, P*C, H, W).
            xi: fresh standard normal noise (N, C, H, W).
            t: time.
            later: time from t to 1.
        """
        t, later = self.expand_time(t, x_t), self.expand_time(later, x_t)
        added = self.noise.std(later) ** 2 - self.noise.std(t) ** 2
        attenuation = self.attenuation
        mean = x_t + attenuation.integral(phi, later) - attenuation.integral(phi, t)
        return mean + added.sqrt() * xi

    def step(
        self,
        x_t: Tensor,
        phi: Tensor,
        eps: Tensor,
        t: Tensor | float,
        s: Tensor | float,
        eta: float = 1.0,
        xi: Tensor | None = None,
    ) -> Tensor:
        """One reverse step from ``x_t`` to ``x_{t-s}``, of any size s up to t.

            sigma^2 = eta^2 s (t - s) / t
            x_{t-s} = x_t + H_{t-s} - H_t - (sqrt(t) - sqrt(t - s - sigma^2)) eps
                      + sigma xi

        ``eta = 1`` is Eq. (11) (Alg. 2, line 5 to 7: the bracket becomes
        ``s / sqrt(t)``), ``eta = 0`` the deterministic rule.

        Args:
            x_t: noisy image (N, C, H, W).
            phi: predicted attenuation parameters (N, P*C, H, W).
            eps: predicted noise (N, C, H, W).
            t: time before the step.
            s: step size, 0 < s <= t.
            eta: noise level of the step, from 0 to 1.
            xi: fresh standard normal noise (N, C, H, W). None adds no noise, which is
                correct where sigma is 0 (eta = 0, or t - s = 0); elsewhere it gives
                the mean of the step.

        Raises:
            ValueError: ``eta`` is outside [0, 1], or ``phi`` does not have P times the
                channels of ``x_t``.
        """
        check_eta(eta)
        self._check_channels(phi, x_t)
        t, r = self.expand_time(t, x_t), self.expand_time(t - s, x_t)
        sigma = eta * self.bridge_variance(t, r).sqrt()
        std_t, std_r = self.noise.std(t), self.noise.std(r)

        attenuation = self.attenuation
        x_r = x_t + attenuation.integral(phi, r) - attenuation.integral(phi, t)
        x_r = x_r - (std_t - (std_r**2 - sigma**2).clamp(min=0).sqrt()) * eps
        return x_r if xi is None else x_r + sigma * xi

    def reverse_sde(
        self, x_t: Tensor, phi: Tensor, eps: Tensor, t: Tensor | float
    ) -> tuple[Tensor, Tensor]:
        """Drift and diffusion of the reverse-time SDE of Eq. (6).

            dx = (h_t + (db^2/dt) / b(t) eps) dt + sqrt(db^2/dt) dw

        Returns:
            drift (N, C, H, W) and diffusion, which broadcasts against it.
        """
        t = self.expand_time(t, x_t)
        rate = self.noise.variance_rate(t)
        drift = self.attenuation.rate(phi, t) + rate / self.noise.std(t) * eps
        return drift, rate.sqrt()

    def _check_channels(self, phi: Tensor, x: Tensor) -> None:
        expected = self.attenuation.num_params * x.shape[1]
        if phi.shape[1] != expected:
            raise ValueError(
                f'{type(self.attenuation).__name__} has {self.attenuation.num_params} '
                f'parameters for each of {x.shape[1]} image channels, but phi has '
                f'{phi.shape[1]} channels, not {expected}. Set the first entry of '
                f"the head's out_channels to {expected}."
            )

    def expand_time(self, t: Tensor | float, x: Tensor) -> Tensor:
        """``t`` in a shape that broadcasts against ``x``.

        Numbers and times on the CPU are checked; on a device the check would wait.
        """
        if not within(t, 0.0):
            raise ValueError(
                'Diffusion times lie between 0 (image) and 1 (noise), but t='
                f'{listed(t)}. Give times in [0, 1].'
            )
        t = torch.as_tensor(t, dtype=torch.float64 if isinstance(t, float) else None)
        t = t.to(x)
        return t.view(-1, *[1] * (x.dim() - 1)) if t.dim() == 1 else t


def widest_dtype(device: torch.device) -> torch.dtype:
    """float64, or float32 where the device has no float64."""
    lacks_it = device.type in DEVICES_WITHOUT_FLOAT64
    return torch.float32 if lacks_it else torch.float64


@lru_cache(maxsize=4096)
def _noise_level(noise: NoisePath, t: float) -> float:
    return float(noise.std(torch.tensor(t, dtype=torch.float64)))


def within(t: Tensor | float, smallest: float) -> bool:
    """Whether all times are in [``smallest``, 1].

    Times on a device are not read, because that would wait for it.
    """
    if isinstance(t, Tensor):
        return t.device.type != 'cpu' or bool((t >= smallest).all() and (t <= 1).all())
    return smallest <= t <= 1


def listed(t: Tensor | float) -> list[float]:
    """The first few times, for a message."""
    return t.flatten().tolist()[:8] if isinstance(t, Tensor) else [t]


def widest(x: Tensor) -> Tensor:
    """``x`` in float64, or in float32 where the device has no float64."""
    return x.to(widest_dtype(x.device))


def check_eta(eta: float) -> None:
    """Raise a ValueError for a noise level outside [0, 1]."""
    if not 0 <= eta <= 1:
        raise ValueError(
            f'The noise level of a step must be between 0 and 1, but eta={eta}. Use 0 '
            'for deterministic sampling, 1 for Algorithm 2.'
        )
