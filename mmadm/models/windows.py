"""Sampling modes of ``test_cfg``: the whole image at once, or window by window.

A mode knows no model. It wraps denoisers, and calls a function that samples an image.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from mmadm.diffusion.samplers import Callback, Denoiser, NoiseSource
from mmadm.utils.tiling import Profile, Window, blend, check_profile, windows

#: Condition -> denoiser; encodes the condition, which is done once per image.
MakeDenoiser = Callable[[Tensor | None], Denoiser]
#: (noise, condition, callback) -> images (N, C, H, W).
SampleImages = Callable[[NoiseSource, Tensor | None, Callback | None], Tensor]


class Layout(NamedTuple):
    """Sizes of an image, its diffused state and its condition.

    Windows are counted in cells, so that they fall on whole positions of the state and
    on whole pixels of the condition.
    """

    #: (H, W) of the padded image.
    size: tuple[int, int]
    #: Side of a cell in pixels of the image, ...
    cell: int
    #: ... in positions of the state ...
    state: int
    #: ... and in pixels of the condition.
    condition: int


@dataclass(frozen=True)
class WholeImage:
    """``mode='whole'``: the networks see the whole image."""

    #: Whether a callback sees the state of the whole image.
    has_trajectory: ClassVar[bool] = True

    def check(self, cell: int) -> None:
        """Nothing to check: the preprocessor pads to multiples of ``cell``."""

    def evaluations(self, layout: Layout) -> int:
        """How often the head runs in one step of the whole image."""
        return 1

    def denoiser(
        self, make: MakeDenoiser, condition: Tensor | None, layout: Layout
    ) -> Denoiser:
        """The denoiser that the sampler calls at each step."""
        return make(condition)

    def sample(
        self,
        images: SampleImages,
        make_noise: Callable[[], NoiseSource],
        condition: Tensor | None,
        layout: Layout,
        callback: Callback | None = None,
    ) -> Tensor:
        """Images (N, C, H, W), about [-1, 1]."""
        return images(make_noise(), condition, callback)


@dataclass(frozen=True)
class _Windowed(WholeImage):
    """What both modes with windows share: the windows.

    Args:
        crop: side of a window in pixels of the prediction.
        stride: pixels from one window to the next; half to three quarters of ``crop``.
        blend: see :func:`mmadm.utils.tiling.blend`.
        batch: windows that pass the networks together.
    """

    crop: int
    stride: int
    blend: Profile = 'linear'
    batch: int = 1

    def check(self, cell: int) -> None:
        """Raise a ValueError where windows do not fit the model.

        Args:
            cell: side of the smallest part of an image that a window may hold.
        """
        check_profile(self.blend)
        windows((self.crop, self.crop), self.crop, self.stride)
        if self.crop % cell or self.stride % cell:
            raise ValueError(
                f'Windows of crop={self.crop}, stride={self.stride} do not fit the '
                f"model, which works on cells of {cell} pixels (the preprocessor's "
                f'size_divisor and condition_scale). Give multiples of {cell}.'
            )
        if self.batch < 1:
            raise ValueError(
                f'At least one window must pass the networks, but batch={self.batch}. '
                'Give 1, or more as memory permits.'
            )

    def windows(self, layout: Layout) -> list[Window]:
        """All windows, in cells."""
        cell = layout.cell
        cells = [side // cell for side in layout.size]
        return windows(cells, self.crop // cell, self.stride // cell)

    def evaluations(self, layout: Layout) -> int:
        """As many as there are batches of windows."""
        return len(self.batches(layout))

    def batches(self, layout: Layout) -> list[list[Window]]:
        """The windows, ``batch`` at a time."""
        places = self.windows(layout)
        return [places[i : i + self.batch] for i in range(0, len(places), self.batch)]


@dataclass(frozen=True)
class SlidingWindows(_Windowed):
    """``mode='slide'``: at each step, phi and eps of the windows are blended.

    The networks see windows of the size they were trained on, while the image has one
    state, so that overlapping windows cannot contradict each other.
    """

    def denoiser(
        self, make: MakeDenoiser, condition: Tensor | None, layout: Layout
    ) -> Denoiser:
        """A denoiser of the whole image from those of its windows."""
        batches = self.batches(layout)
        denoisers = [
            make(_cut(condition, batch, layout.condition)) for batch in batches
        ]
        places = [window.scaled(layout.state) for window in self.windows(layout)]

        def outputs(x_t: Tensor, t: float) -> Iterator[Tensor]:
            for batch, denoise in zip(batches, denoisers):
                both = torch.cat(denoise(_cut(x_t, batch, layout.state), t), dim=1)
                yield from both.chunk(len(batch))

        def denoise(x_t: Tensor, t: float) -> tuple[Tensor, Tensor]:
            both = blend(outputs(x_t, t), places, x_t.shape[-2:], self.blend)
            phi, eps = both.tensor_split([-x_t.shape[1]], dim=1)
            return phi, eps

        return denoise


@dataclass(frozen=True)
class SlidingChains(_Windowed):
    """``mode='slide_chains'``: each window is sampled alone, then they are blended.

    The authors' rule, with ``blend='mean'``; except that windows share the noise where
    they overlap, so that the image does not depend on ``batch``.
    """

    has_trajectory: ClassVar[bool] = False

    def sample(
        self,
        images: SampleImages,
        make_noise: Callable[[], NoiseSource],
        condition: Tensor | None,
        layout: Layout,
        callback: Callback | None = None,
    ) -> Tensor:
        """Images (N, C, H, W) in [-1, 1].

        Raises:
            ValueError: there is a callback, but no state of the whole image.
        """
        if callback is not None:
            raise ValueError(
                "With mode='slide_chains' each window has a sampling trajectory of its "
                'own, and the image has none, but a callback was given. Use '
                "mode='slide' or mode='whole'."
            )

        def noise_of(batch: list[Window]) -> NoiseSource:
            noise = make_noise()
            return lambda: _cut(noise(), batch, layout.state)

        def outputs() -> Iterator[Tensor]:
            for batch in self.batches(layout):
                part = _cut(condition, batch, layout.condition)
                sampled = images(noise_of(batch), part, None)
                yield from sampled.clamp(-1, 1).chunk(len(batch))

        places = [window.scaled(layout.cell) for window in self.windows(layout)]
        return blend(outputs(), places, layout.size, self.blend)


def _cut(x: Tensor | None, batch: list[Window], factor: int) -> Tensor | None:
    """Windows of (N, C, H, W), one after the other; a cell has ``factor`` pixels."""
    if x is None:
        return None
    return torch.cat([window.scaled(factor).cut(x) for window in batch])


_MODES = {
    'whole': WholeImage,
    'slide': SlidingWindows,
    'slide_chains': SlidingChains,
}


def make_mode(mode: str = 'whole', **options) -> WholeImage:
    """The sampling mode of that name.

    Raises:
        ValueError: there is no such mode, or an option is unknown or missing.
    """
    if mode not in _MODES:
        raise ValueError(
            f'Unknown mode={mode!r} in test_cfg. Use one of {sorted(_MODES)}.'
        )
    accepted = [field.name for field in fields(_MODES[mode])]
    needed = [name for name in ('crop', 'stride') if name in accepted]
    if set(options) - set(accepted) or set(needed) - set(options):
        raise ValueError(
            f'test_cfg with mode={mode!r} got {sorted(options)}. It needs {needed} and '
            f'accepts {[*accepted, "mode", "num_steps", "num_samples", "seed"]}: '
            "correct the model's test_cfg."
        )
    return _MODES[mode](**options)
