"""What a condition and its encoder must agree in."""

from torch import Tensor, nn


def check_condition(condition: Tensor, encoder: nn.Module) -> None:
    """Refuse a condition (N, C, H, W) of other channels than ``encoder`` takes."""
    if condition.shape[1] != encoder.in_channels:
        raise ValueError(
            f'{type(encoder).__name__} takes conditions of {encoder.in_channels} '
            f'channels, but got {condition.shape[1]}. Set in_channels of the '
            'condition encoder, or pack another array as condition.'
        )
