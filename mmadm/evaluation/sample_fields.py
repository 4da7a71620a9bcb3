"""Answers, and maps among them."""

import numpy as np
import torch
from torch import Tensor


def required(sample: dict, key: str, metric: str) -> Tensor:
    """What a metric needs of a sample, uint8.

    Raises:
        ValueError: the sample has no such field, or one of another type.
    """
    if key not in sample:
        raise ValueError(
            f'{name_of(sample)} has no {key}, which {metric} scores. Score a data set '
            f'that has it, or leave {metric} out of the evaluators.'
        )
    if sample[key].dtype != torch.uint8:
        raise ValueError(
            f'{metric} scores 8 bits, but the {key} of {name_of(sample)} is '
            f'{sample[key].dtype}. Give uint8, 255 for 1.'
        )
    return sample[key]


def as_map(image: Tensor) -> np.ndarray:
    """(C, H, W), uint8, to (H, W) in [0, 1], float64; three channels are averaged."""
    return image.cpu().numpy().astype(np.float64).mean(axis=0) / 255


def name_of(sample: dict) -> str:
    """What a message calls a sample."""
    return sample.get('img_path') or f'sample {sample.get("sample_idx", "?")}'
