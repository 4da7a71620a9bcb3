"""Answers that are maps."""

from collections.abc import Sequence

import numpy as np
import torch.nn.functional as F
from torch import Tensor


def as_map(image: Tensor) -> np.ndarray:
    """(C, H, W), uint8, to (H, W) in [0, 1], float64; three channels are averaged."""
    return image.cpu().numpy().astype(np.float64).mean(axis=0) / 255


def enlarge(image: Tensor, size: Sequence[int]) -> Tensor:
    """An 8-bit image (C, H, W) at another (H, W): bilinear, corners not aligned."""
    if image.shape[-2:] == tuple(size):
        return image
    resized = F.interpolate(image[None].float(), tuple(size), mode='bilinear')[0]
    return resized.round().byte()


def name_of(sample: dict) -> str:
    """What a message calls a sample."""
    return sample.get('img_path') or f'sample {sample.get("sample_idx", "?")}'
