"""Checked access to the fields of a sample that metrics read."""

import numpy as np
import torch
from torch import Tensor


def required(sample: dict, key: str, metric: str) -> Tensor:
    """The uint8 field ``key`` of a sample.

    Args:
        sample: fields and metadata of one sample.
        key: name of the field, such as ``pred_img``.
        metric: name of the metric, for the message.

    Raises:
        ValueError: the sample has no such field, or one of another type.
    """
    if key not in sample:
        raise ValueError(
            f'{name_of(sample)} has no {key}, which {metric} needs. Use a dataset that '
            f'has it, or remove {metric} from the evaluators.'
        )
    if sample[key].dtype != torch.uint8:
        raise ValueError(
            f'{metric} needs 8-bit values, but the {key} of {name_of(sample)} is '
            f'{sample[key].dtype}. Give uint8, 255 for 1.'
        )
    return sample[key]


def as_map(image: Tensor) -> np.ndarray:
    """(C, H, W), uint8, to (H, W) in [0, 1], float64; three channels are averaged."""
    return image.cpu().numpy().astype(np.float64).mean(axis=0) / 255


def check_map(pred: np.ndarray) -> None:
    """Refuse a map that has NaN or values outside [0, 1].

    Raises:
        ValueError: there is such a value.
    """
    # NaN compares as False.
    if not ((pred >= 0) & (pred <= 1)).all():
        raise ValueError(
            'A map is scored in [0, 1], but its values reach from '
            f'{np.min(pred)} to {np.max(pred)}. Check the model for NaN, or divide '
            '8-bit values by 255.'
        )


def check_finite(values: Tensor, name: str) -> None:
    """Refuse NaN and infinity, from which no score can be computed.

    Args:
        values: any shape.
        name: what the values are, for the message.

    Raises:
        ValueError: a value is NaN or infinite.
    """
    wrong = int((~torch.isfinite(values)).sum())
    if wrong:
        raise ValueError(
            f'No score from non-finite values: {wrong} of {values.numel()} values of '
            f'the {name} are NaN or infinite. Check the weights and the images that '
            'they were computed from.'
        )


def name_of(sample: dict) -> str:
    """Name of a sample in a message."""
    return sample.get('img_path') or f'sample {sample.get("sample_idx", "?")}'
