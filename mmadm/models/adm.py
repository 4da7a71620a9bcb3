"""The diffusion model: joins the mathematics of ADM and the networks."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from itertools import count, islice, pairwise

import torch
from mmengine.model import BaseModel
from torch import Tensor

from mmadm.diffusion import (
    ADMProcess,
    ADMSampler,
    OptimalWeighting,
    Preconditioner,
)
from mmadm.diffusion.process import widest_dtype
from mmadm.diffusion.samplers import Callback, Denoiser, NoiseSource
from mmadm.registry import MODELS, SAMPLERS, build
from mmadm.structures import DiffusionSample, training_seeds
from mmadm.utils import SampleNoise, mix_seed

from .autoencoders import PixelStage
from .data_preprocessor import DiffusionPreprocessor
from .losses import ADMLoss
from .windows import Layout, WholeImage, make_mode

#: Errors are logged separately for the intervals of time between these.
_BUCKETS = (0.0, 0.25, 0.5, 0.75, 1.0)
#: Entries of ``test_cfg`` that are read at each run; the others define the mode.
_RUN_OPTIONS = ('num_steps', 'num_samples', 'seed')


@MODELS.register_module()
class ADM(BaseModel):
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
        super().__init__(build(MODELS, data_preprocessor))
        self.head = build(MODELS, head)
        self.process: ADMProcess = build(MODELS, process)
        self.preconditioner = build(MODELS, preconditioner)
        self.weighting = build(MODELS, weighting)
        self.criterion = build(MODELS, loss)
        self.sampler = build(SAMPLERS, sampler)
        self.condition_encoder = build(MODELS, condition_encoder)
        self.first_stage = build(MODELS, first_stage).requires_grad_(False)
        self.test_cfg = _checked_test_cfg(test_cfg)
        self._check_num_samples()
        self._check_divisor()
        self._check_condition()
        self._check_features()
        self.sampling_mode = self.make_mode(self.test_cfg)

    def make_mode(self, test_cfg: dict) -> WholeImage:
        """The sampling mode of a ``test_cfg``.

        Raises:
            ValueError: the mode is unknown, or its windows do not fit the model.
        """
        options = {k: v for k, v in test_cfg.items() if k not in _RUN_OPTIONS}
        mode = make_mode(**options)
        mode.check(self.data_preprocessor.cell)
        return mode

    def _check_num_samples(self) -> None:
        number = self.test_cfg.get('num_samples', 1)
        if not isinstance(number, int) or number < 1:
            raise ValueError(
                'A prediction is the mean of at least one sample, but test_cfg has '
                f'num_samples={number!r}. Give a positive integer.'
            )
        if number > 1 and self.condition_encoder is None:
            raise ValueError(
                'The mean of unconditional samples is no image of the data, but '
                f'test_cfg has num_samples={number}. Leave it out.'
            )

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
        pred = self.denoise(x_t, t_host, features, augment_labels)
        names, targets = ('image', 'noise'), (phi, eps)
        losses = {}
        for name, output, target, weight in zip(names, pred, targets, weights):
            losses[f'loss_{name}'] = self.criterion(output, target, weight).mean()
            error = (output.detach().float() - target).square().flatten(1).mean(1)
            losses.update(_by_time(f'{name}_mse', error, t_host))

        def reconstruct() -> Tensor:
            return process.denoised(x_t, *pred, t)

        return losses | self.criterion.extra(reconstruct, x0, t)

    @torch.no_grad()
    def predict(
        self,
        condition: Sequence[Tensor],
        data_samples: Sequence[DiffusionSample],
        callback: Callback | None = None,
    ) -> list[DiffusionSample]:
        """Give each sample its ``pred_img``, by Algorithm 2.

        Images of one size are sampled together; a prediction depends on the seed and
        the sample's ``sample_idx``, not on the rest of the batch.

        Args:
            condition: (C', H', W') each; empty for unconditional generation.
            data_samples: have ``target_shape`` and ``sample_idx``; get ``pred_img``,
                and where it is the mean of several draws, these and their standard
                deviation, ``pred_samples`` and ``pred_std``.
            callback: see :data:`mmadm.diffusion.samplers.Callback`; it sees the first
                draw.

        Raises:
            ValueError: a prediction has NaN or infinite values.
        """
        number = self.test_cfg.get('num_samples', 1)
        for size, members in _by_size(data_samples).items():
            batch = torch.stack([condition[i] for i in members]) if condition else None
            samples = [data_samples[i] for i in members]
            draws = self.draws(size, samples, batch, callback)
            images = list(islice(draws, number))
            for i, sample in enumerate(samples):
                self._set_prediction(sample, [image[i] for image in images])
        return list(data_samples)

    def num_evaluations(self, data_samples: Sequence[DiffusionSample]) -> int:
        """How often :meth:`predict` runs the head: once per step, window and draw."""
        times = self.sampler.times(self.process, self.test_cfg.get('num_steps'))
        steps = (len(times) - 1) * self.test_cfg.get('num_samples', 1)
        layouts = map(self._layout, _by_size(data_samples))
        return steps * sum(map(self.sampling_mode.evaluations, layouts))

    def _set_prediction(
        self, sample: DiffusionSample, images: Sequence[Tensor]
    ) -> None:
        """The mean of the images, and their standard deviation if there are several."""
        drawn = [self.data_preprocessor.to_uint8(image, sample) for image in images]
        if len(drawn) == 1:
            (sample.pred_img,) = drawn
            return
        sample.pred_samples = torch.stack(drawn)
        stacked = sample.pred_samples.float()
        sample.pred_img = stacked.mean(0).round().byte()
        sample.pred_std = stacked.std(0).mean(0, keepdim=True)

    def sample(
        self,
        size: tuple[int, int],
        data_samples: Sequence[DiffusionSample],
        condition: Tensor | None = None,
        callback: Callback | None = None,
    ) -> Tensor:
        """The first of :meth:`draws`."""
        return next(self.draws(size, data_samples, condition, callback))

    def draws(
        self,
        size: tuple[int, int],
        data_samples: Sequence[DiffusionSample],
        condition: Tensor | None = None,
        callback: Callback | None = None,
    ) -> Iterator[Tensor]:
        """Samples of one condition without end, which differ in their noise.

        Each is images (N, C, H, W), about [-1, 1], of padded ``size``; float32. An
        image is NaN where an output of the networks was NaN or infinite at any step.
        The condition is encoded once for all draws. ``callback`` sees the first one.
        """
        preprocessor, factor = self.data_preprocessor, self.first_stage.factor
        layout, mode = self._layout(size), self.sampling_mode
        height, width = layout.size
        shape = (self.head.in_channels, height // factor, width // factor)
        seed = self.test_cfg.get('seed', 0)
        # By the identity of the tensor: the same one for each draw of a whole image.
        denoiser = lru_cache(1)(lambda x: mode.denoiser(self.denoiser, x, layout))

        def images(
            noise: NoiseSource, condition: Tensor | None, callback: Callback | None
        ) -> Tensor:
            return self._run(denoiser(condition), noise, condition, callback)

        for draw in count():
            # The first draw is the one that a single prediction has.
            mixed = (draw,) if draw else ()
            seeds = [mix_seed(seed, x.sample_idx, *mixed) for x in data_samples]
            make_noise = partial(
                SampleNoise,
                seeds,
                shape,
                preprocessor.device,
                out_dtype=widest_dtype(preprocessor.device),
            )
            seen = None if draw else callback
            yield mode.sample(images, make_noise, condition, layout, seen)

    def _layout(self, size: Sequence[int]) -> Layout:
        """Sizes of an image, its state and its condition, after padding."""
        preprocessor = self.data_preprocessor
        cell = preprocessor.cell
        return Layout(
            size=preprocessor.padded(size),
            cell=cell,
            state=cell // self.first_stage.factor,
            condition=cell // preprocessor.condition_scale,
        )

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
            return self.denoise(x_t, torch.tensor([t]), features)

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
        t: Tensor,
        features: Sequence[Tensor] | None,
        augment_labels: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """phi and eps for ``x_t`` at times t, (N,) or (1,); networks in float32."""
        # Heads without augmentation need not accept labels.
        labels = {} if augment_labels is None else dict(augment_labels=augment_labels)

        def network(x: Tensor, c_noise: Tensor) -> tuple[Tensor, ...]:
            return self.head(x.float(), c_noise.float(), features, **labels)

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


def _checked_test_cfg(test_cfg: dict | None) -> dict:
    if test_cfg is not None and not isinstance(test_cfg, dict):
        raise ValueError(
            f'The test_cfg of a model must be a dict, but test_cfg={test_cfg!r}. On '
            'the command line set its entries: model.test_cfg.num_steps=5, or '
            'model.test_cfg=None.'
        )
    return dict(test_cfg or {})


def _by_size(data_samples: Sequence[DiffusionSample]) -> dict[tuple, list[int]]:
    """Numbers of the samples whose predictions have one size."""
    groups = defaultdict(list)
    for i, sample in enumerate(data_samples):
        groups[tuple(sample.target_shape)].append(i)
    return groups


def _by_time(name: str, error: Tensor, t: Tensor) -> dict[str, Tensor]:
    """Mean error in each interval of time that occurs, named by its upper border."""
    errors = {}
    for low, high in pairwise(_BUCKETS):
        members = ((t > low) & (t <= high)).nonzero().flatten()
        if len(members):
            errors[f'{name}_t{high:g}'] = error[members.to(error.device)].mean()
    return errors
