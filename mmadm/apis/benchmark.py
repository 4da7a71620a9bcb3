"""Speed and memory of sampling: latency, images per second, peak memory."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mmadm.structures import DiffusionSample

_STATUS, _CLEAR = Path('/proc/self/status'), Path('/proc/self/clear_refs')


@dataclass(frozen=True)
class Speed:
    """Sampling of one batch, several times.

    Attributes:
        num_steps: number of sampling steps (NFE).
        size: (H, W) of the images.
        batch_size: images of a batch.
        seconds: of each batch, after the warm-up.
        peak_bytes: largest memory: of tensors on a GPU; of the process, with all
            libraries, on Linux; None elsewhere.
    """

    num_steps: int
    size: tuple[int, int]
    batch_size: int
    seconds: tuple[float, ...]
    peak_bytes: int | None

    @property
    def latency(self) -> float:
        """Median seconds of a batch."""
        return float(np.median(self.seconds))

    @property
    def images_per_second(self) -> float:
        """Images of a batch over its median time."""
        return self.batch_size / self.latency


def benchmark_sampling(
    model,
    size: Sequence[int],
    num_steps: Sequence[int],
    batch_size: int = 1,
    repeats: int = 5,
    warmup: int = 1,
) -> list[Speed]:
    """Time ``model.test_step`` on random images: from 8-bit inputs to 8-bit outputs.

    The numbers of steps take turns, so that a machine that slows down does not favour
    one of them.

    Args:
        model: an :class:`mmadm.models.ADM` in evaluation mode, on its device.
        size: (H, W) of the predictions.
        num_steps: numbers of sampling steps.
        batch_size: images that are sampled together.
        repeats: batches that count, for each number of steps.
        warmup: batches before that do not count.

    Raises:
        ValueError: a count is not positive, or the size does not fit the condition.
    """
    counts = dict(batch_size=batch_size, repeats=repeats, height=size[0], width=size[1])
    wrong = {name: count for name, count in counts.items() if count < 1}
    if wrong or warmup < 0:
        raise ValueError(
            f'Batches are counted by positive numbers, but got {wrong or warmup}. Give '
            'at least 1, and a warm-up of at least 0.'
        )
    data = random_inputs(model, size, batch_size)
    usual = model.test_cfg
    seconds: dict[int, list[float]] = {n: [] for n in num_steps}
    peaks: dict[int, int | None] = {}
    try:
        for turn in range(warmup + repeats):
            for n in num_steps:
                model.test_cfg = {**usual, 'num_steps': n}
                passed, peaks[n] = _measured(model, lambda: model.test_step(data))
                if turn >= warmup:
                    seconds[n].append(passed)
    finally:
        model.test_cfg = usual
    return [
        Speed(n, tuple(size), batch_size, tuple(seconds[n]), peaks[n])
        for n in num_steps
    ]


def random_inputs(model, size: Sequence[int], batch_size: int) -> dict:
    """A batch of random images as a test pipeline gives it."""
    generator = torch.Generator().manual_seed(0)
    encoder, samples = model.condition_encoder, []
    inputs: dict[str, list[Tensor]] = {}
    scale = model.data_preprocessor.condition_scale
    if any(side % scale for side in size):
        raise ValueError(
            f'The condition has {scale} times fewer pixels per side, but the size is '
            f'{tuple(size)}. Give multiples of {scale}.'
        )
    if encoder is not None:
        shape = (getattr(encoder, 'in_channels', 3), *(side // scale for side in size))
        inputs['condition'] = [
            torch.randint(256, shape, dtype=torch.uint8, generator=generator)
            for _ in range(batch_size)
        ]
    for i in range(batch_size):
        meta = dict(sample_idx=i, target_shape=tuple(size))
        samples.append(DiffusionSample(metainfo=meta))
    return dict(inputs=inputs, data_samples=samples)


def _measured(model, run: Callable[[], object]) -> tuple[float, int | None]:
    """Seconds and peak memory of ``run``."""
    device = next(model.parameters()).device
    is_measured = _begin_peak(device)
    begin = time.perf_counter()
    run()
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
    return time.perf_counter() - begin, _peak(device) if is_measured else None


def _begin_peak(device: torch.device) -> bool:
    """Let the peak begin anew; whether this is possible here."""
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        return True
    try:
        _CLEAR.write_text('5')  # Linux
    except OSError:
        return False
    return device.type == 'cpu'


def _peak(device: torch.device) -> int:
    if device.type == 'cuda':
        return torch.cuda.max_memory_allocated(device)
    lines = _STATUS.read_text().splitlines()
    return next(int(x.split()[1]) * 1024 for x in lines if x.startswith('VmHWM:'))


def speed_table(speeds: Sequence[Speed]) -> str:
    """One line per measurement: latency with quartiles, images/s, peak memory."""
    lines = [
        f'{"size":>11}{"batch":>7}{"NFE":>5}{"latency s":>11}{"(quartiles)":>19}'
        f'{"images/s":>10}{"peak MiB":>10}'
    ]
    for speed in speeds:
        low, high = np.quantile(speed.seconds, (0.25, 0.75))
        peak = '-' if speed.peak_bytes is None else f'{speed.peak_bytes / 2**20:.0f}'
        lines.append(
            f'{"x".join(map(str, speed.size)):>11}{speed.batch_size:>7}'
            f'{speed.num_steps:>5}{speed.latency:>11.4f}'
            f'{f"({low:.4f} .. {high:.4f})":>19}'
            f'{speed.images_per_second:>10.2f}{peak:>10}'
        )
    return '\n'.join(lines)
