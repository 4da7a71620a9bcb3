"""Scaling of the network's input and outputs: preconditioning in the sense of EDM.

Two tables compose: ``SCALINGS`` holds the coefficients, ``PREDICTIONS`` what the
network predicts. A new entry in either of them works with all entries of the other;
only those of CLD belong together.
"""

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from mmadm.registry import MODELS

from .predictions import PREDICTIONS, State, over
from .process import ADMProcess, listed, within
from .scalings import PUBLISHED, SCALINGS, Coefficients

#: A network: (scaled x_t, c_noise) -> its raw outputs. One that is not needed may be
#: None; see :meth:`Preconditioner.needed`.
Network = Callable[[Tensor, Tensor], tuple[Tensor | None, ...]]


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
        published = scaling in PUBLISHED
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
        outputs = network(over(c.c_in, x_t) * x_t, c.c_noise)
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
