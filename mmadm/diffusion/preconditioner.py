"""What the network sees and what its outputs mean: scaling, skips and their weights."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

import torch
from torch import Tensor

from mmadm.registry import MODELS

from .process import ADMProcess

#: A network: (scaled x_t, c_noise) -> its raw outputs.
Network = Callable[[Tensor, Tensor], tuple[Tensor, ...]]


@dataclass(frozen=True)
class Coefficients:
    """Preconditioning at time t; each entry (N,), those of phi (N, P)."""

    c_in: Tensor
    c_noise: Tensor
    phi_skip: Tensor
    phi_out: Tensor
    eps_skip: Tensor
    eps_out: Tensor


@MODELS.register_module()
class Preconditioner:
    """Input of unit variance, outputs of which only the unknown part is learnt.

        phi = c_skip x_t + c_out F_1(c_in x_t, c_noise)          (eps alike, from F_2)

    ``c_skip`` is the best linear guess from ``x_t`` and ``c_out`` the standard
    deviation of its error, for image data of standard deviation ``sigma_d``. For
    ``h_t = c`` and ``b = sqrt(t)``, with ``D = (1-t)^2 sigma_d^2 + t``:

        c_in = D^(-1/2)      c_noise = log t
        phi:  c_skip = -(1-t) sigma_d^2 / D    c_out^2 = sigma_d^2 t / D
        eps:  c_skip =  sqrt(t) / D            c_out^2 = (1-t)^2 sigma_d^2 / D

    For ``sigma_d = 1``, ``1/c_out^2`` is the best pair of weights of Table V.

    Args:
        sigma_data: standard deviation sigma_d of the images (or latents).
    """

    #: What the head's decoders predict, in their order.
    predicts: tuple[str, ...] = ('phi', 'eps')

    def __init__(self, sigma_data: float = 0.5) -> None:
        if not sigma_data > 0:
            raise ValueError(
                'The standard deviation of the data must be positive, but sigma_data='
                f'{sigma_data}. Natural images in [-1, 1] have about 0.5.'
            )
        self.sigma_data = sigma_data

    def coefficients(self, process: ADMProcess, t: Tensor) -> Coefficients:
        """Moments of (x_t, phi, eps) turned into linear regression, in float64.

        The moments come from a two-level design over the sources (x0 and the drawn
        parameters each at plus and minus one standard deviation): exact where phi and
        H_t are linear in them, an approximation for the sine.

        Args:
            process: the diffusion process.
            t: times, (N,).
        """
        t = t.double()
        attenuation = process.attenuation
        levels = torch.tensor(list(product((-1.0, 1.0), repeat=attenuation.num_params)))
        levels = levels.to(t).view(*levels.shape, 1, 1)

        image, *free = levels.split(1, dim=1)
        x0 = self.sigma_data * image
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

    def describe(self, process: ADMProcess) -> str:
        """The scaling in words and numbers: weights of one are of no use in another."""
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
        self, network: Network, process: ADMProcess, x_t: Tensor, t: Tensor
    ) -> tuple[Tensor, Tensor]:
        """``phi_theta, eps_theta = Net_theta(x_t, t)`` (Alg. 1 line 6, Alg. 2 line 3).

        Args:
            network: gives one raw output per decoder.
            process: the diffusion process.
            x_t: noisy image (N, C, H, W).
            t: times (N,), or (1,) where all images share one.

        Returns:
            phi (N, P*C, H, W) and eps (N, C, H, W).

        Raises:
            ValueError: a time is outside [t_min, 1], where no network is trained
                (checked for times on the CPU, where looking costs no wait); or the
                network has other outputs than ``predicts`` tells.
        """
        if t.device.type == 'cpu' and not _within(t, process.t_min):
            raise ValueError(
                f'Networks are trained for times from t_min={process.t_min} to 1, but '
                f't={t.flatten().tolist()[:8]}. Choose a time grid whose last call is '
                'not below t_min.'
            )
        c = self.coefficients(process, t)
        outputs = network(_over(c.c_in, x_t) * x_t, c.c_noise.to(x_t))
        self._check_outputs(outputs, process, x_t)
        return self.combine(outputs, c, process, x_t, t)

    def combine(
        self,
        outputs: tuple[Tensor, ...],
        c: Coefficients,
        process: ADMProcess,
        x_t: Tensor,
        t: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Raw outputs to phi and eps."""
        raw_phi, raw_eps = outputs
        return self._phi(raw_phi, c, process, x_t), self._eps(raw_eps, c, x_t)

    def _check_outputs(
        self, outputs: tuple[Tensor, ...], process: ADMProcess, x_t: Tensor
    ) -> None:
        channels = x_t.shape[1]
        widths = dict(phi=process.attenuation.num_params * channels, eps=channels)
        expected = tuple(widths[name] for name in self.predicts)
        given = tuple(raw.shape[1] for raw in outputs)
        if given != expected:
            raise ValueError(
                f'With {type(process.attenuation).__name__}, {type(self).__name__} '
                f'takes {" and ".join(self.predicts)} of {expected} channels from the '
                f'head, but it gives outputs of {given}. Set out_channels of the head, '
                'or take Preconditioner for a head with two decoders, '
                'ImagePreconditioner or NoisePreconditioner for one.'
            )

    def _phi(
        self, raw: Tensor, c: Coefficients, process: ADMProcess, x_t: Tensor
    ) -> Tensor:
        params = process.attenuation.split(raw)
        columns = zip(params, c.phi_skip.unbind(1), c.phi_out.unbind(1), strict=True)
        return torch.cat(
            [_over(skip, x_t) * x_t + _over(out, x_t) * f for f, skip, out in columns],
            dim=1,
        )

    def _eps(self, raw: Tensor, c: Coefficients, x_t: Tensor) -> Tensor:
        return _over(c.eps_skip, x_t) * x_t + _over(c.eps_out, x_t) * raw


@MODELS.register_module()
class ImagePreconditioner(Preconditioner):
    """For a head with one decoder that predicts phi: eps is solved from ``x_t``.

    ``eps = (x_t - x0 - H_t) / b(t)``, with ``x0 = -H_1``.
    """

    predicts = ('phi',)

    def combine(
        self,
        outputs: tuple[Tensor, ...],
        c: Coefficients,
        process: ADMProcess,
        x_t: Tensor,
        t: Tensor,
    ) -> tuple[Tensor, Tensor]:
        (raw,) = outputs
        phi = self._phi(raw, c, process, x_t)
        mean = process.diffuse(process.image(phi), phi, torch.zeros_like(x_t), t)
        return phi, (x_t - mean) / _over(process.noise.std(t), x_t)


@MODELS.register_module()
class NoisePreconditioner(Preconditioner):
    """For a head with one decoder that predicts eps, as DDPM's: phi is solved from x_t.

    Only for attenuations without drawn parameters. ``x0 = (x_t - b(t) eps) / g(t)``,
    where ``g(t)``, the share of the image left at time t, is kept above ``t_min``:
    with the paper's process nothing of the image is left at t = 1.
    """

    predicts = ('eps',)

    def combine(
        self,
        outputs: tuple[Tensor, ...],
        c: Coefficients,
        process: ADMProcess,
        x_t: Tensor,
        t: Tensor,
    ) -> tuple[Tensor, Tensor]:
        if process.attenuation.num_free:
            raise ValueError(
                'One noise decoder cannot tell the drawn parameters of '
                f'{type(process.attenuation).__name__}. Use a constant or power '
                'attenuation, or a head with two decoders and Preconditioner.'
            )
        (raw,) = outputs
        eps = self._eps(raw, c, x_t)
        one = torch.ones_like(x_t[:1])
        share = process.diffuse(one, process.target(one), torch.zeros_like(one), t)
        noise = _over(process.noise.std(t), x_t) * eps
        x0 = (x_t - noise) / share.clamp(min=process.t_min)
        return process.attenuation.solve(x0), eps


@MODELS.register_module()
class PlainPreconditioner(Preconditioner):
    """No preconditioning: the raw outputs are phi and eps; only the input is scaled.

    Its ``c_out`` is 1, and with it the weights of ``OptimalWeighting``: for the weights
    of Table V take ``TimeWeighting``.
    """

    def coefficients(self, process: ADMProcess, t: Tensor) -> Coefficients:
        c = super().coefficients(process, t)
        return Coefficients(
            c_in=c.c_in,
            c_noise=c.c_noise,
            phi_skip=torch.zeros_like(c.phi_skip),
            phi_out=torch.ones_like(c.phi_out),
            eps_skip=torch.zeros_like(c.eps_skip),
            eps_out=torch.ones_like(c.eps_out),
        )


@MODELS.register_module()
class PlainImagePreconditioner(PlainPreconditioner, ImagePreconditioner):
    """:class:`PlainPreconditioner` for a head with one decoder."""


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
        # Of the wrong sign; its networks learned to live with it.
        phi_skip=(1 - t)[:, None],
        phi_out=(t * scale)[:, None],
        eps_skip=t.sqrt(),
        eps_out=(1 - t).sqrt() * scale,
    )


_VERSIONS = {
    'ddm_public': _ddm_public,
    'conditional': _conditional,
    'diffusion_edge': _diffusion_edge,
}


@MODELS.register_module()
class PublishedPreconditioner(Preconditioner):
    """The scaling that published networks were trained with; their weights need it.

    ==================  ==========================  ===================================
    Version             Networks                    Coefficients
    ==================  ==========================  ===================================
    ``ddm_public``      unconditional, published    ``c_in^2 = 1 / (1+t)``, the others
                        before April 2024           as in the next row
    ``conditional``     conditional, but for the    ``c_in = 1``;
                        next row                    phi: ``t - 1``, ``t / sqrt(1+t)``;
                                                    eps: ``sqrt(t)``,
                                                    ``sqrt((1-t) / (1+t))``
    ``diffusion_edge``  DiffusionEdge's             ``c_in = 1``,
                                                    ``c_noise = log(t) / 4``;
                                                    phi: ``1 - t``,
                                                    ``t / sqrt(1+t^2)``;
                                                    eps: ``sqrt(t)``,
                                                    ``sqrt((1-t) / (1+t^2))``
    ==================  ==========================  ===================================

    Of phi and eps, ``c_skip`` stands first, then ``c_out``. The newer unconditional
    networks are those of ``Preconditioner(sigma_data=1)``.

    Args:
        version: which networks.
    """

    def __init__(
        self, version: Literal['ddm_public', 'conditional', 'diffusion_edge']
    ) -> None:
        super().__init__(sigma_data=1.0)
        if version not in _VERSIONS:
            raise ValueError(
                f'There are no published networks of version={version!r}. Use one of '
                f'{sorted(_VERSIONS)}, or Preconditioner.'
            )
        self.version = version

    def coefficients(self, process: ADMProcess, t: Tensor) -> Coefficients:
        """The table above, in float64.

        Raises:
            ValueError: phi has more than the one parameter of these networks.
        """
        attenuation = process.attenuation
        if attenuation.num_params != 1:
            raise ValueError(
                'Published networks predict one attenuation parameter, but '
                f'{type(attenuation).__name__} has {attenuation.num_params}. Use '
                'ConstantAttenuation, or another preconditioner.'
            )
        return _VERSIONS[self.version](t.double())


@MODELS.register_module()
class PublishedImagePreconditioner(PublishedPreconditioner, ImagePreconditioner):
    """:class:`PublishedPreconditioner` for a head with one decoder."""


@MODELS.register_module()
class PublishedPlainPreconditioner(PlainPreconditioner, PublishedPreconditioner):
    """Of :class:`PublishedPreconditioner` the input alone: ``c_in`` and ``c_noise``."""


def _within(t: Tensor, t_min: float) -> bool:
    """Whether all times are in [t_min, 1], up to the rounding of float32."""
    return bool((t >= t_min * (1 - 1e-6)).all() and (t <= 1).all())


def _over(value: Tensor, x: Tensor) -> Tensor:
    """One value per image, (N,), in a shape and type that broadcasts over ``x``."""
    return value.view(-1, *[1] * (x.dim() - 1)).to(x)
