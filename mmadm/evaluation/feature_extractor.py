"""Base class of the networks whose features sets of images are compared by."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby, islice

import numpy as np
import torch
from torch import Tensor, nn

#: Images that go through the network at once.
_CHUNK = 50

#: ``weights`` of a network with random weights: for tests of a pipeline.
RANDOM = 'random'


class FeatureExtractor(ABC):
    """8-bit images to features. The computation is float32, without autocast and TF32.

    A subclass sets the attributes and has the method :meth:`forward`.

    Attributes:
        dim: number of features D.
        name: the network in the names of results.
        network: in evaluation mode.
        identity: what must agree between two sets of features that are compared.
        libraries: versions of the libraries that the network comes from.
        is_random: whether the weights are random, so that scores have no meaning.
    """

    dim: int
    name: str
    network: nn.Module
    identity: dict[str, str]
    libraries: dict[str, str]
    is_random: bool

    @abstractmethod
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, D) and logits (N, L) of uint8 images (N, 3, H, W)."""

    @torch.no_grad()
    def __call__(self, images: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Features (N, D) and logits (N, L), float32, on the device of the images.

        Args:
            images: uint8, (3, H, W) RGB or (1, H, W) grey, which is repeated; sizes may
                differ.

        Raises:
            ValueError: an image has neither 1 nor 3 channels.
        """
        device = images[0].device
        self.network.to(device)
        parts = []
        with torch.autocast(device.type, enabled=False), _full_precision():
            for _, group in groupby(map(_as_rgb, images), lambda image: image.shape):
                for chunk in torch.stack(list(group)).split(_CHUNK):
                    parts.append(self.forward(chunk))
        features, logits = zip(*parts)
        return torch.cat(features), torch.cat(logits)


def image_batches(
    images: Iterator[np.ndarray], device: str = 'cpu'
) -> Iterator[list[Tensor]]:
    """Lists of a few tensors (3, H, W) on ``device`` from arrays (H, W, 3)."""
    tensors = (
        torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).to(device)
        for image in images
    )
    while batch := list(islice(tensors, _CHUNK)):
        yield batch


def draw_weights(network: nn.Module) -> None:
    """Random weights of a fixed seed, by He's initialisation."""
    generator = torch.Generator().manual_seed(0)
    for weight in network.parameters():
        if weight.ndim > 1:
            nn.init.kaiming_normal_(weight, generator=generator)


def _as_rgb(image: Tensor) -> Tensor:
    if image.shape[0] not in (1, 3):
        raise ValueError(
            'Features are those of RGB or grey images, but this one has the shape '
            f'{tuple(image.shape)}. Give (3, H, W) or (1, H, W).'
        )
    return image.expand(3, -1, -1)


@contextmanager
def _full_precision() -> Iterator[None]:
    """Neither TF32 nor algorithms chosen by their speed."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision('highest')
    try:
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
