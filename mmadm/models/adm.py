"""The diffusion model: joins the mathematics of ADM and the networks."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from mmadm.diffusion import (
    ADMProcess,
    ADMSampler,
    OptimalWeighting,
    Preconditioner,
)
from mmadm.diffusion.samplers import Callback, Denoiser, NoiseSource
from mmadm.registry import MODELS, SAMPLERS, build
from mmadm.structures import DiffusionSample, training_seeds
from mmadm.utils import SampleNoise

from .autoencoders import PixelStage
from .data_preprocessor import DiffusionPreprocessor
from .losses import ADMLoss
from .sampling_model import Generate, SamplingModel
from .windows import Layout

#: Errors are logged separately for the intervals of time between these.
_BUCKETS = (0.0, 0.25, 0.5, 0.75, 1.0)


@MODELS.register_module()
class ADM(SamplingModel):
    """Diffusion model with Analytical image Attenuation: Algorithm 1 and 2.

    It is conditional when it has a condition encoder. It knows no task: the data set
    decides what is generated, and from which condition.

    Args:
        head: network (x_t, c_noise, features) -> raw outputs.
        process: the diffusion process.
        preconditioner: turns raw outputs into phi and eps.
        weighting: lambda_1 and lambda_2.
        loss: distance of Eq. (10).
        sampler: Algorithm 2 or another sampler.
        condition_encoder: network condition -> feature maps of several levels.
        first_stage: maps images to the space of the diffusion, and back; frozen.
        data_preprocessor: converts between 8 bits and the tensors of the networks.
        test_cfg: ``num_steps`` (the sampler's own if missing) and ``seed``;
            ``num_samples``, how many samples a prediction is the mean of (1); ``mode``
            'whole', 'slide' or 'slide_chains', and the options of the class in
            :mod:`mmadm.models.windows`.
    """

    def __init__(
        self,
        head: dict,
        process: dict = dict(type=ADMProcess),
        preconditioner: dict = dict(type=Preconditioner),
        weighting: dict = dict(type=OptimalWeighting),
        loss: dict = dict(type=ADMLoss),
        sampler: dict = dict(type=ADMSampler),
        condition_encoder: dict | None = None,
        first_stage: dict = dict(type=PixelStage),
        data_preprocessor: dict = dict(type=DiffusionPreprocessor),
        test_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor, test_cfg)
        self.head = build(MODELS, head)
        self.process: ADMProcess = build(MODELS, process)
        self.preconditioner = build(MODELS, preconditioner)
        self.weighting = build(MODELS, weighting)
        self.criterion = build(MODELS, loss)
        self.sampler = build(SAMPLERS, sampler)
        self.condition_encoder = build(MODELS, condition_encoder)
        self.first_stage = build(MODELS, first_stage).requires_grad_(False)
        self._check_num_samples()
        self._check_divisor()
        self._check_condition()
        self._check_features()
        self.sampling_mode = self.make_mode(self.test_cfg)

    def _check_divisor(self) -> None:
        divisor, factor = self.data_preprocessor.size_divisor, self.first_stage.factor
        if divisor % factor:
            raise ValueError(
                f'The first stage reduces images {factor} times, but size_divisor='
                f'{divisor} allows sizes that are not divisible by {factor}. Set '
                f'size_divisor of the data preprocessor to a multiple of {factor}.'
            )

    def _check_condition(self) -> None:
        """Range and channels of the condition, against the parts that use it."""
        preprocessor = self.data_preprocessor
        adds_condition = getattr(self.first_stage, 'adds_condition', False)
        if adds_condition and not preprocessor.unit_condition:
            raise ValueError(
                f'{type(self.first_stage).__name__} adds the condition to the image '
                'and expects it in [-1, 1], but the data preprocessor has mean='
                f'{preprocessor.mean.flatten().tolist()}, std='
                f'{preprocessor.std.flatten().tolist()}. Leave both at 127.5.'
            )
        expected = getattr(self.condition_encoder, 'in_channels', None)
        if expected is not None and len(preprocessor.mean) not in (1, expected):
            raise ValueError(
                f'The condition encoder takes {expected} channels, but mean and std of '
                f'the data preprocessor have {len(preprocessor.mean)}. Give one mean '
                'and std per channel of the condition (a mask is one more channel), or '
                'a single one for all.'
            )

    def _check_features(self) -> None:
        """Widths of encoder and head, where both have them."""
        encoder = self.condition_encoder
        found = () if encoder is None else getattr(encoder, 'out_channels', None)
        expected = getattr(self.head, 'condition_channels', None)
        if isinstance(found, Sequence) and expected is not None:
            found, expected = tuple(found), tuple(expected)
            if found != expected:
                name = encoder and type(encoder).__name__
                raise ValueError(
                    f'The head expects condition features of widths {expected}, but '
                    f'condition_encoder={name} gives {found}. Set condition_channels='
                    f'{found} of the head, or change the encoder.'
                )

    def train(self, mode: bool = True) -> 'ADM':
        """Set the mode; the first stage stays in evaluation mode."""
        super().train(mode)
        self.first_stage.eval()
        return self

    def forward(
        self,
        inputs: dict,
        data_samples: Sequence[DiffusionSample] | None = None,
        mode: str = 'tensor',
    ):
        """Entry point of MMEngine's loops and wrappers.

        Args:
            inputs: 'image' and 'condition', as the data preprocessor gives them.
            data_samples: metadata of each sample.
            mode: 'loss' (Algorithm 1), 'predict' (Algorithm 2), or 'tensor': one
                evaluation of the networks at t = 1, for profiling.
        """
        if mode == 'loss':
            return self.loss(data_samples=data_samples, **inputs)
        if mode == 'predict':
            return self.predict(inputs['condition'], data_samples)
        if mode == 'tensor':
            image, condition = inputs['image'], inputs['condition']
            x_1 = self.first_stage.encode(image, condition)
            return self.denoise(x_1, torch.ones(1), self.encode_condition(condition))
        raise ValueError(f"Unknown mode={mode!r}. Use 'loss', 'predict' or 'tensor'.")

    def loss(
        self,
        image: Tensor | None,
        condition: Tensor | None,
        data_samples: Sequence[DiffusionSample],
        moments: Tensor | None = None,
        augment_labels: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """One step of Algorithm 1, line 3 to 7.

        Args:
            image: (N, C, H, W) in [-1, 1]; None where there are moments.
            condition: (N, C', H', W'), normalised for the condition encoder.
            data_samples: their ``seed``, where they have one, decides all random
                numbers: latents, time, attenuation parameters and noise.
            moments: the first stage's moments of the images, (N, 2 Z, h, w).
            augment_labels: the augmentation of each image, for the head, (N, L).

        Returns:
            ``loss_image`` and ``loss_noise`` (the two terms of Eq. 10), extra terms of
            the loss, and the unweighted errors for each quarter of the time axis that
            occurs in the batch.
        """
        process = self.process
        source = image if moments is None else moments
        seeds = training_seeds(data_samples)
        noise = SampleNoise(seeds, source.shape[1:], source.device, source.dtype)
        with torch.no_grad():
            if moments is None:
                x0 = self.first_stage.encode(image, condition, noise)
            else:
                x0 = self.first_stage.latent(moments, noise)
            # Autocast may leave less than full precision; targets need it.
            x0 = x0.to(source.dtype)
        # On the CPU too: errors are sorted by time, and coefficients computed in
        # float64, without waiting for the device.
        t_host = process.training_time(noise.uniform())
        t = t_host.to(x0.device)
        phi, eps = process.target(x0, noise), noise(x0.shape[1:])
        x_t = process.diffuse(x0, phi, eps, t)

        features = self.encode_condition(condition)
        coefficients = self.preconditioner.coefficients(process, t_host)
        weights = [w.to(x0) for w in self.weighting(t_host, coefficients)]
        shared = process.trained_time
        t_net = t_host if shared is None else shared
        pred = self.denoise(x_t, t_net, features, augment_labels)
        names, targets = ('image', 'noise'), (phi, eps)
        losses = {}
        for name, output, target, weight in zip(names, pred, targets, weights):
            losses[f'loss_{name}'] = self.criterion(output, target, weight).mean()
            error = (output.detach().float() - target).square().flatten(1).mean(1)
            losses.update(_by_time(f'{name}_mse', error, t_host))

        def reconstruct() -> Tensor:
            return process.denoised(x_t, *pred, t)

        return losses | self.criterion.extra(reconstruct, x0, t)

    @property
    def state_channels(self) -> int:
        """Channels of the diffused state."""
        return self.head.in_channels

    @property
    def factor(self) -> int:
        """Pixels per position of the diffused state, in each direction."""
        return self.first_stage.factor

    @property
    def is_conditional(self) -> bool:
        """Whether images are predicted from conditions."""
        return self.condition_encoder is not None

    @property
    def evaluations_per_run(self) -> int:
        """How often the head runs for one image, or for one window."""
        times = self.sampler.times(self.process, self.test_cfg.get('num_steps'))
        return len(times) - 1

    def prepare(self, condition: Tensor | None, layout: Layout) -> Generate:
        """(noise, callback) -> images, for one condition, which is encoded here."""
        denoise = self.sampling_mode.denoiser(self.denoiser, condition, layout)

        def generate(noise: NoiseSource, callback: Callback | None = None) -> Tensor:
            return self._run(denoise, noise, condition, callback)

        return generate

    def _run(
        self,
        denoise: Denoiser,
        noise: NoiseSource,
        condition: Tensor | None,
        callback: Callback | None,
    ) -> Tensor:
        """One run of the sampler, decoded; float32."""
        denoise = _CheckedDenoiser(denoise)
        latent = self.sampler(
            denoise,
            self.process,
            noise,
            num_steps=self.test_cfg.get('num_steps'),
            callback=callback,
        )
        # Autocast may leave less than full precision.
        image = self.first_stage.decode(latent.float(), condition).float()
        defect = denoise.defect + _defect(image)
        return image + defect.to(image).view(-1, 1, 1, 1)

    def denoiser(self, condition: Tensor | None) -> Denoiser:
        """(x_t, t) -> (phi, eps) for one condition, which is encoded here, once."""
        features = self.encode_condition(condition)

        def denoise(x_t: Tensor, t: float) -> tuple[Tensor, Tensor]:
            return self.denoise(x_t, t, features)

        return denoise

    def encode_condition(self, condition: Tensor | None) -> tuple[Tensor, ...] | None:
        """Feature maps of the condition, None for an unconditional model."""
        if self.condition_encoder is None:
            return None
        if condition is None:
            raise ValueError(
                'The model is conditional, but the data give no condition. Add '
                "condition='...' to PackDiffusionInputs, or remove condition_encoder."
            )
        return self.condition_encoder(condition)

    def denoise(
        self,
        x_t: Tensor,
        t: Tensor | float,
        features: Sequence[Tensor] | None,
        augment_labels: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """phi and eps for ``x_t`` at times t, (N,) or one; networks in float32."""
        # Heads without augmentation need not accept labels.
        options = {} if augment_labels is None else dict(augment_labels=augment_labels)
        # Any callable may be the preconditioner.
        find = getattr(self.preconditioner, 'needed', None)
        if find is not None and getattr(self.head, 'can_skip_decoders', False):
            needed = find(self.process, t)
            options |= {} if all(needed) else dict(needed=needed)

        def network(x: Tensor, c_noise: Tensor) -> tuple[Tensor | None, ...]:
            return self.head(x.float(), c_noise.float(), features, **options)

        return self.preconditioner(network, self.process, x_t, t)


class _CheckedDenoiser:
    """A denoiser that records which samples had NaN or infinite outputs.

    The image alone does not show it: samplers clip, and an infinite value then looks
    like a white pixel.
    """

    def __init__(self, denoise: Denoiser) -> None:
        self.denoise = denoise
        #: (N,), see :func:`_defect`; stays on the device.
        self.defect: Tensor | float = 0.0

    def __call__(self, x_t: Tensor, t: float) -> tuple[Tensor, Tensor]:
        phi, eps = self.denoise(x_t, t)
        self.defect = self.defect + _defect(phi) + _defect(eps)
        return phi, eps


def _defect(x: Tensor) -> Tensor:
    """(N,): 0 for a sample of finite values, else NaN."""
    return 0 * x.flatten(1).sum(1)


def _by_time(name: str, error: Tensor, t: Tensor) -> dict[str, Tensor]:
    """Mean error in each interval of time that occurs, named by its upper border."""
    errors = {}
    for low, high in pairwise(_BUCKETS):
        members = ((t > low) & (t <= high)).nonzero().flatten()
        if len(members):
            errors[f'{name}_t{high:g}'] = error[members.to(error.device)].mean()
    return errors
