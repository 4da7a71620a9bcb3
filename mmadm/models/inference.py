"""How an image is sampled: in one piece, or window by window.

Each mode of ``test_cfg`` is a callable (model, size, make_noise, condition, callback)
-> images; the model is an :class:`mmadm.models.ADM`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import ClassVar

import torch
from torch import Tensor

from mmadm.diffusion.samplers import Callback, NoiseSource
from mmadm.utils.tiling import Profile, Window, blend, check_profile, windows


@dataclass(frozen=True)
class WholeImage:
    """``mode='whole'``: the image in one piece."""

    #: Whether a callback sees the state of the whole image.
    has_trajectory: ClassVar[bool] = True

    def check(self, cell: int) -> None:
        """Nothing to check: the preprocessor pads to multiples of ``cell``."""

    def __call__(
        self,
        model,
        size: tuple[int, int],
        make_noise: Callable[[], NoiseSource],
        condition: Tensor | None,
        callback: Callback | None = None,
    ) -> Tensor:
        """Images (N, C, H, W) of ``size``, about [-1, 1]."""
        features = model.encode_condition(condition)  # once, not once per step

        def denoise(x_t: Tensor, t: float) -> tuple[Tensor, Tensor]:
            return model.denoise(x_t, torch.tensor([t]), features)

        return model.run(denoise, make_noise(), condition, callback)


@dataclass(frozen=True)
class SlidingWindows:
    """``mode='slide'``: one chain; at each step the windows' phi and eps are blended.

    The networks see windows of the size they were trained on, while the image stays one
    image, so that windows cannot disagree about what they draw.

    Args:
        crop: side of a window in pixels of the answer.
        stride: pixels from one window to the next; half to three quarters of ``crop``.
        blend: see :func:`mmadm.utils.tiling.blend`.
        batch: windows that pass the networks together.
    """

    has_trajectory: ClassVar[bool] = True

    crop: int
    stride: int
    blend: Profile = 'linear'
    batch: int = 1

    def check(self, cell: int) -> None:
        """Raise a ValueError where windows do not fit the model.

        Args:
            cell: pixels of the answer that cannot be cut apart.
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

    def __call__(
        self,
        model,
        size: tuple[int, int],
        make_noise: Callable[[], NoiseSource],
        condition: Tensor | None,
        callback: Callback | None = None,
    ) -> Tensor:
        """Images (N, C, H, W) of ``size``, about [-1, 1]."""
        grid = _Grid(model, size, self)
        features = [
            model.encode_condition(grid.cut_condition(condition, batch))
            for batch in grid.batches
        ]

        def answers(x_t: Tensor, t: float) -> Iterator[Tensor]:
            for batch, seen in zip(grid.batches, features):
                x = grid.cut_state(x_t, batch)
                both = torch.cat(model.denoise(x, torch.tensor([t]), seen), dim=1)
                yield from both.chunk(len(batch))

        def denoise(x_t: Tensor, t: float) -> tuple[Tensor, Tensor]:
            places = grid.scaled(grid.positions)
            both = blend(answers(x_t, t), places, x_t.shape[-2:], self.blend)
            phi, eps = both.tensor_split([-x_t.shape[1]], dim=1)
            return phi, eps

        return model.run(denoise, make_noise(), condition, callback)


@dataclass(frozen=True)
class SlidingChains(SlidingWindows):
    """``mode='slide_chains'``: each window is an image of its own, blended at the end.

    The authors' rule, with ``blend='mean'``; except that windows share the noise where
    they overlap, so that the picture does not depend on ``batch``.
    """

    has_trajectory: ClassVar[bool] = False

    def __call__(
        self,
        model,
        size: tuple[int, int],
        make_noise: Callable[[], NoiseSource],
        condition: Tensor | None,
        callback: Callback | None = None,
    ) -> Tensor:
        """Images (N, C, H, W) of ``size`` in [-1, 1].

        Raises:
            ValueError: there is a callback, but no state of the whole image to see.
        """
        if callback is not None:
            raise ValueError(
                "With mode='slide_chains' an image has no trajectory: each window has "
                "its own. Watch the steps with mode='slide' or mode='whole'."
            )
        grid = _Grid(model, size, self)

        def window_noise(batch: list[Window]) -> NoiseSource:
            noise = make_noise()
            return lambda: grid.cut_state(noise(), batch)

        def answers() -> Iterator[Tensor]:
            for batch in grid.batches:
                images = WholeImage()(
                    model,
                    size,
                    lambda batch=batch: window_noise(batch),
                    grid.cut_condition(condition, batch),
                )
                yield from images.clamp(-1, 1).chunk(len(batch))

        return blend(answers(), grid.scaled(grid.cell), size, self.blend)


class _Grid:
    """The windows of an image of ``size``, and what of state and condition they see.

    Windows are counted in cells, so that they fall on whole positions of the state and
    on whole pixels of the condition.
    """

    def __init__(self, model, size: tuple[int, int], mode: SlidingWindows) -> None:
        preprocessor = model.data_preprocessor
        self.cell = preprocessor.cell
        self.positions = self.cell // model.first_stage.factor
        self.condition_pixels = self.cell // preprocessor.condition_scale
        cells = [side // self.cell for side in size]
        places = windows(cells, mode.crop // self.cell, mode.stride // self.cell)
        self.batches = [
            places[i : i + mode.batch] for i in range(0, len(places), mode.batch)
        ]

    def scaled(self, factor: int) -> list[Window]:
        """All windows, with ``factor`` pixels per cell."""
        return [window.scaled(factor) for batch in self.batches for window in batch]

    def cut_state(self, x: Tensor, batch: list[Window]) -> Tensor:
        """The windows' parts of (N, C, h, w), one window after the other."""
        return torch.cat([window.scaled(self.positions).cut(x) for window in batch])

    def cut_condition(self, x: Tensor | None, batch: list[Window]) -> Tensor | None:
        """The same of the condition, None if there is none."""
        if x is None:
            return None
        pixels = self.condition_pixels
        return torch.cat([window.scaled(pixels).cut(x) for window in batch])


_MODES = {
    'whole': WholeImage,
    'slide': SlidingWindows,
    'slide_chains': SlidingChains,
}


def make_inference(mode: str = 'whole', **options) -> WholeImage | SlidingWindows:
    """The mode of that name.

    Raises:
        ValueError: no such mode, or options that it does not have, or misses.
    """
    if mode not in _MODES:
        raise ValueError(
            f'Unknown mode={mode!r} in test_cfg. Use one of {sorted(_MODES)}.'
        )
    known = [field.name for field in fields(_MODES[mode])]
    needed = [name for name in ('crop', 'stride') if name in known]
    if set(options) - set(known) or set(needed) - set(options):
        raise ValueError(
            f'test_cfg with mode={mode!r} got {sorted(options)}. It needs {needed} and '
            f"knows {[*known, 'mode', 'num_steps', 'seed']}; correct the model's "
            'test_cfg.'
        )
    return _MODES[mode](**options)
