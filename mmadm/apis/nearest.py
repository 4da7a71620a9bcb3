"""Nearest training images: whether an unconditional model has memorised its data."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmadm.visualization.images import captioned, column, legible, row

# Images whose distances are computed at once.
_CHUNK = 64


class Neighbours(NamedTuple):
    """The nearest training images of N images."""

    #: RMS difference of the pixels in grey levels, (N,).
    distances: np.ndarray
    #: The training images, (N, H, W, 3), mirrored where that is nearer.
    images: np.ndarray


def nearest(images: np.ndarray, training: np.ndarray) -> Neighbours:
    """Nearest training images, or their mirror images, in the space of pixels.

    Args:
        images: (N, H, W, 3), uint8.
        training: (M, H, W, 3), uint8.
    """
    candidates = np.concatenate([training, training[:, :, ::-1]])
    points = torch.from_numpy(candidates).flatten(1).float()
    best, indices = [], []
    for part in torch.from_numpy(images).flatten(1).float().split(_CHUNK):
        distance, index = _distances(part, points).min(1)
        best.append(distance / points.shape[1] ** 0.5)
        indices.append(index)
    return Neighbours(torch.cat(best).numpy(), candidates[torch.cat(indices).numpy()])


def _distances(a: Tensor, b: Tensor) -> Tensor:
    return torch.cdist(a, b, compute_mode='donot_use_mm_for_euclid_dist')


def draw_neighbours(
    images: np.ndarray, neighbours: Neighbours, chosen: Sequence[int]
) -> np.ndarray:
    """Chosen images above their nearest training images, with the distances."""
    columns = [
        column(
            [
                legible(images[i]),
                captioned(
                    legible(neighbours.images[i]), f'{neighbours.distances[i]:.1f}'
                ),
            ]
        )
        for i in chosen
    ]
    return row(columns)
