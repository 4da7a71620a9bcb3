"""From 8-bit images to what the networks see, and back."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from mmadm.registry import MODELS, build
from mmadm.structures import DiffusionSample
from mmadm.utils import mix_seed


@MODELS.register_module()
class DiffusionPreprocessor(BaseDataPreprocessor):
    """Images to [-1, 1], conditions to the backbone's statistics, answers to 8 bits.

    Args:
        mean: subtracted from the condition, one per channel, in 0..255. The default
            leads to [-1, 1].
        std: divides the condition thereafter.
        size_divisor: heights and widths are padded to multiples of it (by repeating the
            last row and column) and answers are cropped again. A first stage of factor
            f needs f; the heads themselves take any size.
        condition_scale: image pixels per condition pixel, in each direction: 4 for
            4x super-resolution.
        augmentation: what is done to training images, such as
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
        shape = (-1, 1, 1)
        self.register_buffer('mean', torch.tensor(mean).view(shape), persistent=False)
        self.register_buffer('std', torch.tensor(std).view(shape), persistent=False)
        self.size_divisor = size_divisor
        self.condition_scale = condition_scale
        self.augmentation = build(MODELS, augmentation)
        #: Images are padded to, and cut at, multiples of it: whole pixels of the
        #: condition and whole positions of what is diffused.
        self.cell = math.lcm(size_divisor, condition_scale)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Move to the device and normalise.

        Args:
            data: ``inputs`` with lists of uint8 (C, H, W) tensors under 'image' and
                'condition' (either may be missing) or, instead of images, of float32
                'moments' (2 Z, h, w), and ``data_samples``.
            training: stack each list; otherwise the lists stay lists, because test
                images may differ in size.

        Returns:
            the same structure, float32; with an augmentation also 'augment_labels'.
        """
        data = self.cast_data(data)
        images = data['inputs'].get('image', ())
        conditions = data['inputs'].get('condition', ())
        for condition, sample in zip(conditions, data['data_samples']):
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
        # Apart from the stream that times and noise are drawn from.
        drawn = torch.randint(2**62, (len(image),)).tolist()
        seeds = [sample.get('seed', d) for sample, d in zip(data_samples, drawn)]
        image, labels = self.augmentation(image, [mix_seed(seed, 1) for seed in seeds])
        return dict(image=image, augment_labels=labels)

    def padded(self, size: Sequence[int]) -> tuple[int, int]:
        """(H, W) rounded up to multiples of ``cell``."""
        height, width = (-(-side // self.cell) * self.cell for side in size)
        return height, width

    def to_uint8(self, image: Tensor, sample: DiffusionSample) -> Tensor:
        """An answer in [-1, 1] to 8 bits: cropped, rounded, known pixels pasted.

        Args:
            image: (C, H, W).
            sample: tells the ``target_shape``; where it has a ``mask``, pixels outside
                of it are taken from its ``condition``.
        """
        height, width = sample.target_shape
        image = ((image[:, :height, :width] + 1) * 127.5).clamp(0, 255).round().byte()
        if 'mask' in sample:
            known = sample.condition.to(image.device)
            image = torch.where(sample.mask.to(image.device).bool(), image, known)
        return image

    def _pad(self, x: Tensor, scale: int = 1) -> Tensor:
        """Pad to what the padded image is when reduced by ``scale``."""
        height, width = x.shape[-2:]
        padded = self.padded((height * scale, width * scale))
        extra = (0, padded[1] // scale - width, 0, padded[0] // scale - height)
        return F.pad(x[None], extra, mode='replicate')[0] if any(extra) else x

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


def _stack(key: str, tensors: list[Tensor]) -> Tensor | None:
    """One batch; all of one size, or a message that says which sizes there are."""
    if not tensors:
        return None
    shapes = {tuple(tensor.shape) for tensor in tensors}
    if len(shapes) > 1:
        raise ValueError(
            f"Training images of one batch must have one size, but '{key}' has "
            f'{sorted(shapes)}. Add a crop or a resize to the pipeline.'
        )
    return torch.stack(tensors)
