"""Windows that cover a large image, and how their outputs are blended.

Pure functions, for whatever works on windows::

    pieces = windows(size=latent.shape[-2:], crop=64, stride=48)
    outputs = (decode(piece.cut(latent)) for piece in pieces)
    image = blend(outputs, [piece.scaled(8) for piece in pieces], image_size)
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import product
from typing import Literal, NamedTuple

import torch
from torch import Tensor

#: Weight of an output as a function of the position in its window.
Profile = Literal['linear', 'mean']


class Window(NamedTuple):
    """A rectangle of an image, in pixels (or in positions of a latent)."""

    top: int
    left: int
    height: int
    width: int

    def cut(self, x: Tensor) -> Tensor:
        """The window's part of ``x`` (..., H, W), a view."""
        rows = slice(self.top, self.top + self.height)
        return x[..., rows, self.left : self.left + self.width]

    def scaled(self, factor: int) -> 'Window':
        """The same window where each pixel has become ``factor`` x ``factor``."""
        return Window(*(factor * side for side in self))


def windows(size: Sequence[int], crop: int, stride: int) -> list[Window]:
    """Windows that cover an image, row by row: the authors' rule.

    In each direction there are ceil((size - crop) / stride) + 1 of them, ``stride``
    apart; the last one is moved back to the border. Where the image is smaller than
    ``crop``, so is the window.

    Args:
        size: (H, W) of the image.
        crop: side of a window.
        stride: from one window to the next.

    Raises:
        ValueError: the windows would leave gaps, or are empty.
    """
    if not 1 <= stride <= crop:
        raise ValueError(
            f'Windows of crop={crop}, stride={stride} do not cover an image. '
            'Give a stride between 1 and crop.'
        )
    tops, lefts = (_starts(side, crop, stride) for side in size)
    height, width = (min(crop, side) for side in size)
    return [Window(top, left, height, width) for top, left in product(tops, lefts)]


def _starts(side: int, crop: int, stride: int) -> list[int]:
    last = max(side - crop, 0)
    return [*range(0, last, stride), last]


def blend(
    outputs: Iterable[Tensor],
    windows: Iterable[Window],
    size: Sequence[int],
    profile: Profile = 'linear',
) -> Tensor:
    """One image from the outputs of its windows: the weighted mean where they overlap.

    Sums and weights are float32 at least: half precision ends at 65504, below the
    weight of a window of 512 x 512.

    Args:
        outputs: (..., h, w), one per window; may be a generator.
        windows: where the outputs belong.
        size: (H, W) of the image, which the windows cover.
        profile: 'linear' weights an output by the distance from the window's border, so
            that no seam shows; 'mean' weights all alike, which is the authors' rule.

    Returns:
        (..., H, W), float32 or the outputs' higher precision.
    """
    total = weights = None
    for output, window in zip(outputs, windows, strict=True):
        if total is None:
            dtype = torch.promote_types(output.dtype, torch.float32)
            total = output.new_zeros(*output.shape[:-2], *size, dtype=dtype)
            weights = total.new_zeros(*size)
        rows, columns = (
            _PROFILES[profile](side).to(total) for side in (window.height, window.width)
        )
        weight = rows[:, None] * columns
        window.cut(total).add_(weight * output)
        window.cut(weights).add_(weight)
    return total / weights


def check_profile(profile: str) -> None:
    """Raise a ValueError for a profile that does not exist."""
    if profile not in _PROFILES:
        raise ValueError(f'Unknown blend={profile!r}. Use one of {sorted(_PROFILES)}.')


def _tent(side: int) -> Tensor:
    """Distance of each pixel's centre from the nearer border."""
    centres = torch.arange(side) + 0.5
    return torch.minimum(centres, side - centres)


_PROFILES: dict[str, Callable[[int], Tensor]] = {'linear': _tent, 'mean': torch.ones}
