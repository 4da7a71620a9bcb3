"""Measurement of all benchmarks: alternating runs after a warm-up, then medians.

On a CPU, the seconds are those that this process computes, so other programs on the
machine disturb little; on a GPU, those that pass until the GPU is done.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from typing import NamedTuple

import torch


class Timing(NamedTuple):
    """Seconds: median and quartiles."""

    median: float
    low: float
    high: float


def make_parser(description: str, repeats: int) -> argparse.ArgumentParser:
    """Options of all benchmarks."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument('--device', default='cpu', help='cpu or cuda')
    parser.add_argument('--repeats', type=int, default=repeats, help='turns')
    parser.add_argument('--threads', type=int, default=1, help='of the CPU')
    return parser


def set_up(args: argparse.Namespace) -> None:
    """Fix threads and seeds, and print the hardware."""
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    if args.device == 'cpu':
        place = f'{_processor()}, {args.threads} thread(s)'
    else:
        place = torch.cuda.get_device_name()
    print(f'{place}; torch {torch.__version__}; {args.repeats} turns')


def take_turns(
    variants: dict[str, Callable[[], object]],
    repeats: int,
    device: str = 'cpu',
    clock: Callable[[], float] | None = None,
) -> dict[str, Timing]:
    """Time each variant ``repeats`` times, A/B/A/B, after a first round without timing.

    Args:
        variants: functions by name.
        repeats: turns that count.
        device: where the work happens.
        clock: counts seconds; None is the clock of the device.
    """
    clock = clock or (time.process_time if device == 'cpu' else time.perf_counter)
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for turn in range(repeats + 1):
        for name, function in variants.items():
            _finish(device)
            begin = clock()
            function()
            _finish(device)
            if turn:
                seconds[name].append(clock() - begin)
    return {name: _summary(values) for name, values in seconds.items()}


def print_table(timings: dict[str, Timing], against: str) -> None:
    """One line per variant, with its speed as a multiple of ``against``'s.

    ``python -m benchmarks`` also gets the numbers, as a line of JSON.
    """
    path = os.environ.get('MMADM_BENCHMARK_TABLES')
    if path:
        rows = {name: timing._asdict() for name, timing in timings.items()}
        with open(path, 'a') as file:
            file.write(json.dumps(dict(against=against, timings=rows)) + '\n')
    width = max(map(len, timings))
    print(f'{"":{width}}  median ms  (quartiles)           faster by')
    for name, (median, low, high) in timings.items():
        ratio = timings[against].median / median
        print(
            f'{name:{width}}  {1e3 * median:9.2f}  ({1e3 * low:8.2f} .. '
            f'{1e3 * high:8.2f})  {ratio:6.2f}'
        )


def _summary(values: list[float]) -> Timing:
    low, median, high = torch.tensor(values).quantile(torch.tensor([0.25, 0.5, 0.75]))
    return Timing(float(median), float(low), float(high))


def _finish(device: str) -> None:
    if device != 'cpu':
        torch.cuda.synchronize()


def _processor() -> str:
    try:
        with open('/proc/cpuinfo') as file:
            names = [line.split(':')[1] for line in file if 'model name' in line]
        return names[0].strip()
    except (OSError, IndexError):
        return platform.machine()
