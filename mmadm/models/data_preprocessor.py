"""Conversion between 8-bit images and the tensors that the networks use."""

import math
from collections.abc import Sequence

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from mmadm.registry import MODELS, build
from mmadm.structures import DiffusionSample, training_seeds
from mmadm.utils import mix_seed


@MODELS.register_module()
class DiffusionPreprocessor(BaseDataPreprocessor):
    """Images to [-1, 1], conditions to the encoder's range, predictions to 8 bits.

    Heights and widths are padded to multiples of ``size_divisor`` and of
    ``condition_scale``, by reflection and equally on all sides, so that the networks
    see no artificial edge along the border. The margins are cropped from predictions.

    Args:
        mean: subtracted from the condition, one per channel, in 0..255. The default
            leads to [-1, 1].
        std: divides the condition thereafter.
        size_divisor: heights and widths are padded to multiples of it. A first stage
            of factor f needs f; the heads themselves take any size.
        condition_scale: image pixels per condition pixel, in each direction: 4 for
            4x super-resolution.
        augmentation: augments training images, such as
            :class:`mmadm.models.LabelledAugmentation`; needs a head that takes its
            labels.
    """

    def __init__(
        self,
        mean: Sequence[float] = (127.5,),
        std: Sequence[float] = (127.5,),
        size_divisor: int = 1,
        condition_scale: int = 1,
        augmentation: dict | None = None,
    ) -> None:
        super().__init__()
        if (
            len(mean) != len(std)
            or not min(std) > 0
            or min(size_divisor, condition_scale) < 1
        ):
            raise ValueError(
                'The data preprocessor needs one positive std per mean, and factors of '
                f'at least 1, but mean={tuple(mean)}, std={tuple(std)}, '
                f'size_divisor={size_divisor}, condition_scale={condition_scale}. The '
                'defaults are (127.5,), (127.5,), 1 and 1.'
            )
        shape = (-1, 1, 1)
        self.register_buffer('mean', torch.tensor(mean).view(shape), persistent=False)
        self.register_buffer('std', torch.tensor(std).view(shape), persistent=False)
        #: Whether conditions are scaled to [-1, 1], as images are.
        self.unit_condition = {*mean, *std} == {127.5}
        self.size_divisor = size_divisor
        self.condition_scale = condition_scale
        self.augmentation = build(MODELS, augmentation)
        #: Images are padded to, and cut at, multiples of it: whole pixels of the
        #: condition and whole positions of the diffused state.
        self.cell = math.lcm(size_divisor, condition_scale)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Move to the device, normalise and pad.

        Args:
            data: ``inputs`` with lists of uint8 (C, H, W) tensors under 'image' and
                'condition' (either may be missing) or, instead of images, of float32
                'moments' (2 Z, h, w), and ``data_samples``.
            training: stack each list; otherwise the lists stay lists, because test
                images may differ in size.

        Returns:
            the same structure, float32; with an augmentation also 'augment_labels'.

        Raises:
            ValueError: a condition does not fit its image or ``mean``.
        """
        data = self.cast_data(data)
        images = data['inputs'].get('image', ())
        conditions = data['inputs'].get('condition', ())
        for condition, sample in zip(conditions, data['data_samples']):
            self._check_channels(condition)
            self._check_scale(condition, sample)
        inputs = dict(
            image=[self._pad(x.float() / 127.5 - 1) for x in images],
            condition=[
                self._pad((x.float() - self.mean) / self.std, self.condition_scale)
                for x in conditions
            ],
        )
        if 'moments' in data['inputs']:
            inputs['moments'] = data['inputs']['moments']
        if training:
            inputs = {key: _stack(key, value) for key, value in inputs.items()}
            if self.augmentation is not None:
                inputs.update(self._augmented(inputs['image'], data['data_samples']))
        return dict(inputs=inputs, data_samples=data['data_samples'])

    def _augmented(
        self, image: Tensor, data_samples: Sequence[DiffusionSample]
    ) -> dict[str, Tensor]:
        # Mixed, so that time and noise are drawn from another stream.
        seeds = [mix_seed(seed, 1) for seed in training_seeds(data_samples)]
        image, labels = self.augmentation(image, seeds)
        return dict(image=image, augment_labels=labels)

    def padded(self, size: Sequence[int]) -> tuple[int, int]:
        """(H, W) rounded up to multiples of ``cell``."""
        height, width = (-(-side // self.cell) * self.cell for side in size)
        return height, width

    def to_uint8(self, image: Tensor, sample: DiffusionSample) -> Tensor:
        """A prediction in [-1, 1] to 8 bits: cropped, rounded, known pixels pasted.

        Args:
            image: (C, H, W), padded.
            sample: gives ``target_shape``; where it has a ``mask``, pixels outside of
                it are taken from its ``condition``.

        Raises:
            ValueError: the prediction has NaN or infinite values.
        """
        if not image.isfinite().all():
            name = sample.get('img_path') or f'sample {sample.get("sample_idx")}'
            raise ValueError(
                f'The prediction for {name} has NaN or infinite values. The weights '
                'are damaged, or a layer overflows: check the checkpoint, and test '
                'without --amp.'
            )
        height, width = sample.target_shape
        top, left = self._margins((height, width))
        image = image[:, top : top + height, left : left + width]
        image = ((image + 1) * 127.5).clamp(0, 255).round().byte()
        if 'mask' in sample:
            known = sample.condition.to(image.device)
            image = torch.where(sample.mask.to(image.device).bool(), image, known)
        return image

    def _margins(self, size: Sequence[int]) -> tuple[int, int]:
        """Padded pixels above and left of an image: whole pixels of the condition."""
        scale = self.condition_scale
        top, left = (
            (padded - side) // (2 * scale) * scale
            for padded, side in zip(self.padded(size), size)
        )
        return top, left

    def _pad(self, x: Tensor, scale: int = 1) -> Tensor:
        """Pad an image, or its condition of ``scale`` times fewer pixels a side."""
        size = [side * scale for side in x.shape[-2:]]
        padded = self.padded(size)
        if padded == tuple(size):
            return x
        for dim, (start, side) in enumerate(zip(self._margins(size), padded), start=-2):
            places = torch.arange(side // scale, device=x.device) - start // scale
            x = x.index_select(dim, reflected(places, x.shape[dim]))
        return x

    def _check_channels(self, condition: Tensor) -> None:
        expected, found = len(self.mean), len(condition)
        if expected not in (1, found):
            raise ValueError(
                f'The data preprocessor has mean and std of {expected} channels, but '
                f'the condition has {found}. Give one mean and std per channel of the '
                'condition (a mask is one more channel), or a single one for all.'
            )

    def _check_scale(self, condition: Tensor, sample: DiffusionSample) -> None:
        size = tuple(condition.shape[-2:])
        expected = tuple(side * self.condition_scale for side in size)
        if tuple(sample.target_shape) != expected:
            raise ValueError(
                f'The condition of {sample.get("img_path", "a sample")} has the size '
                f'{size} and condition_scale={self.condition_scale}, but the image has '
                f'{tuple(sample.target_shape)}, not {expected}. Pair images of fitting '
                'size, or set condition_scale of the data preprocessor.'
            )


def reflected(places: Tensor, length: int) -> Tensor:
    """Indices into an axis that is continued by reflection: 1 0 | 0 1 2 | 2 1 0 0 1."""
    # With the border pixels repeated, a condition and its larger image stay aligned.
    places = places % (2 * length)
    return torch.minimum(places, 2 * length - 1 - places)


def _stack(key: str, tensors: list[Tensor]) -> Tensor | None:
    """One batch; all of one size, or an error that names the sizes."""
    if not tensors:
        return None
    shapes = {tuple(tensor.shape) for tensor in tensors}
    if len(shapes) > 1:
        raise ValueError(
            f"Training images of one batch must have one size, but '{key}' has "
            f'{sorted(shapes)}. Add a crop or a resize to the pipeline.'
        )
    return torch.stack(tensors)
