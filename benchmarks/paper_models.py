"""The paper's models from their configs: at its sizes, or as toys of the same parts."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from mmadm.apis import load_config
from mmadm.apis.complexity import image_size
from mmadm.models import ADM, DualDecoderUNet
from mmadm.registry import MODELS
from mmadm.structures import DiffusionSample

#: Pixels, latents, and latents with a condition that an encoder reads.
CONFIGS = ('adm_uncond_cifar10', 'adm_uncond_celebahq256', 'adm_sr_div2k')


class Work(NamedTuple):
    """A model with random weights, and one batch of its data.

    Attributes:
        model: in evaluation mode.
        batch: images of a training step, ``batch_size`` of Table I.
        size: (H, W) of the images.
        device: of model and data.
    """

    model: ADM
    batch: int
    size: tuple[int, int]
    device: str

    def data(self) -> dict[str, Any]:
        """Random images, with conditions if the model takes them: a training batch."""
        scale = self.model.data_preprocessor.condition_scale
        inputs = dict(image=self._images(3, 1))
        if self.model.is_conditional:
            inputs['condition'] = self._images(3, scale)
        return dict(inputs=inputs, data_samples=self.samples())

    def samples(self) -> list[DiffusionSample]:
        """Metadata of each image of the batch, which fix its noise."""
        facts = [
            dict(seed=i, sample_idx=i, target_shape=self.size)
            for i in range(self.batch)
        ]
        return [DiffusionSample(metainfo=fact) for fact in facts]

    def condition(self) -> Tensor | None:
        """(N, C, h, w), as the encoder gets it; None for an unconditional model."""
        if not self.model.is_conditional:
            return None
        scale = self.model.data_preprocessor.condition_scale
        size = [side // scale for side in self.size]
        return torch.randn(self.batch, 3, *size, device=self.device)

    def _images(self, channels: int, scale: int) -> list[Tensor]:
        shape = self.batch, channels, *(side // scale for side in self.size)
        images = torch.randint(256, shape, dtype=torch.uint8, device=self.device)
        return list(images)


def make_work(
    name: str,
    device: str,
    width: int | None = None,
    batch: int | None = None,
    steps: int = 5,
) -> Work:
    """A model and its work.

    Args:
        name: of a config.
        device: cpu or cuda.
        width: base channels of a toy with the same parts; None is the paper's model.
        batch: images; None is the paper's batch, or two of a toy.
        steps: function evaluations per sample.
    """
    config = load_config(name)
    size = image_size(config)
    if width is not None:
        _shrink(config.model, width)
        size = tuple(min(side, 64) for side in size)
    # Whole test images, without windows; random weights.
    config.model.test_cfg = dict(num_steps=steps)
    model = MODELS.build(config.model).to(device).eval()
    return Work(
        model,
        batch or (config.auto_scale_lr.base_batch_size if width is None else 2),
        size,
        device,
    )


def _shrink(model: dict, width: int) -> None:
    """Toy widths of the same networks, in place."""
    if 'first_stage' in model:
        model.first_stage.update(base_channels=width, num_blocks=1, tile=None)
    if 'condition_encoder' in model:
        model.condition_encoder.update(arch='tiny', weights=None)
        model.head.condition_channels = (96, 192, 384, 768)
    model.head.update(base_channels=width)
    if model.head.type is DualDecoderUNet:
        model.head.update(num_blocks=1)
