"""What all models that sample images have in common, however they are computed."""

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import count, islice

import torch
from mmengine.model import BaseModel
from torch import Tensor

from mmadm.diffusion.process import widest_dtype
from mmadm.diffusion.samplers import Callback, NoiseSource
from mmadm.registry import MODELS, build
from mmadm.structures import DiffusionSample
from mmadm.utils import SampleNoise, mix_seed

from .windows import Layout, WholeImage, make_mode

#: (noise, callback) -> images (N, C, H, W), about [-1, 1], float32.
Generate = Callable[..., Tensor]

#: Entries of ``test_cfg`` that are read at each run; the others define the mode.
_RUN_OPTIONS = ('num_steps', 'num_samples', 'seed')


class SamplingModel(BaseModel):
    """Base class of models that sample images: :class:`ADM` and its exported graph.

    It draws the noise of each sample, divides large images into windows, and converts
    to 8 bits.

    Args:
        data_preprocessor: see :class:`ADM`.
        test_cfg: see :class:`ADM`.
    """

    def __init__(self, data_preprocessor: dict, test_cfg: dict | None) -> None:
        super().__init__(build(MODELS, data_preprocessor))
        self.test_cfg = _checked_test_cfg(test_cfg)

    @property
    @abstractmethod
    def state_channels(self) -> int:
        """Channels of the diffused state."""

    @property
    @abstractmethod
    def factor(self) -> int:
        """Pixels per position of the diffused state, in each direction."""

    @property
    @abstractmethod
    def is_conditional(self) -> bool:
        """Whether images are predicted from conditions."""

    @property
    @abstractmethod
    def evaluations_per_run(self) -> int:
        """How often ``head`` runs for one image, or for one window."""

    @abstractmethod
    def prepare(self, condition: Tensor | None, layout: Layout) -> Generate:
        """(noise, callback) -> images, for one condition (N, C', H', W').

        An image is NaN where an output of the networks was NaN or infinite.
        """

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
        if number > 1 and not self.is_conditional:
            raise ValueError(
                'The mean of unconditional samples is no image of the data, but '
                f'test_cfg has num_samples={number}. Leave it out.'
            )

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
        steps = self.evaluations_per_run * self.test_cfg.get('num_samples', 1)
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
        preprocessor, factor = self.data_preprocessor, self.factor
        layout, mode = self._layout(size), self.sampling_mode
        height, width = layout.size
        shape = (self.state_channels, height // factor, width // factor)
        seed = self.test_cfg.get('seed', 0)
        # By the identity of the tensor: the same one for each draw of a whole image.
        prepare = lru_cache(1)(lambda x: self.prepare(x, layout))

        def images(
            noise: NoiseSource, condition: Tensor | None, callback: Callback | None
        ) -> Tensor:
            return prepare(condition)(noise, callback)

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
            state=cell // self.factor,
            condition=cell // preprocessor.condition_scale,
        )


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
