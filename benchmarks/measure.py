"""Measurement of all benchmarks: alternating runs after a warm-up, then medians.

On a CPU, the seconds are those that this process computes, so other programs on the
machine disturb little; on a GPU, those that pass until the GPU is done.

What is printed is also written, as lines of JSON, to the file that ``python -m
benchmarks`` names in the environment.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from mmadm.engine.hooks.acceleration import compiler_error

#: Environment variable with the file of the lines of JSON.
RECORDS = 'MMADM_BENCHMARK_RECORDS'


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
    parser.add_argument(
        '--rehearse',
        action='store_true',
        help="on a CPU: a GPU's variants, compiled by nothing, to test the program",
    )
    return parser


def set_up(args: argparse.Namespace) -> None:
    """Fix threads, seeds and exact products, and print the hardware."""
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    use_tf32(False)
    if args.device == 'cpu':
        place = f'{_processor()}, {args.threads} thread(s)'
    else:
        place = torch.cuda.get_device_name()
    machine = f'{place}; torch {torch.__version__}; {args.repeats} turns'
    record(machine=machine)
    print(machine)


# Devices


def is_gpu_run(args: argparse.Namespace) -> bool:
    """Whether the variants are those of a GPU."""
    return args.rehearse or args.device != 'cpu'


def compile_options(args: argparse.Namespace) -> dict[str, bool] | None:
    """Options of ``torch.compile``; None where it does not work, which is reported."""
    options = dict(disable=True) if args.rehearse else {}
    reason = compiler_error(torch.device(args.device), options)
    if reason is not None:
        leave_out('compilation', reason)
    return options if reason is None else None


def use_tf32(wanted: bool) -> None:
    """Let GPUs round the inputs of float32 products; CPUs compute as before."""
    torch.set_float32_matmul_precision('high' if wanted else 'highest')
    torch.backends.cudnn.allow_tf32 = wanted


def finish(device: str) -> None:
    """Wait until the device has done its work."""
    if device != 'cpu':
        torch.cuda.synchronize()


def device_peak(device: str, work: Callable[[], object]) -> int | None:
    """Bytes of a GPU at the peak of ``work``, which is run; None on a CPU."""
    if device == 'cpu':
        work()
        return None
    torch.cuda.reset_peak_memory_stats()
    work()
    finish(device)
    return torch.cuda.max_memory_allocated()


# Timing


def take_turns(
    variants: Mapping[str, Callable[[], object]],
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
            finish(device)
            begin = clock()
            function()
            finish(device)
            if turn:
                seconds[name].append(clock() - begin)
    return {name: summary(values) for name, values in seconds.items()}


def summary(seconds: Sequence[float]) -> Timing:
    """Median and quartiles."""
    quartiles = torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)
    low, median, high = torch.tensor(seconds, dtype=torch.float64).quantile(quartiles)
    return Timing(float(median), float(low), float(high))


def exponent(values: Sequence[float], results: Sequence[float]) -> float:
    """p of ``result ~ value ** p``: the slope of least squares of the logarithms."""
    x, y = (torch.tensor(z, dtype=torch.float64).log() for z in (values, results))
    x, y = x - x.mean(), y - y.mean()
    return float((x * y).sum() / x.square().sum())


# The limit of the machine


def operations(work: Callable[[], object]) -> int:
    """Operations of products and convolutions in ``work``, which is run eagerly.

    A multiply-accumulate is two operations.
    """
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


class Limit:
    """The machine's limit: the faster of a large matrix product and a convolution.

    Time ``probes`` in the same turns as what is compared with them.

    Args:
        args: options of :func:`make_parser`.
        dtype: type of their numbers.
    """

    def __init__(self, args: argparse.Namespace, dtype: torch.dtype) -> None:
        # Side of the matrices; images of 64 x 64 with as many numbers; filters.
        side, count, width = (
            (2048, 1, 256) if args.device == 'cpu' else (8192, 16, 1024)
        )
        if args.rehearse:
            side, count, width = 256, 1, 16
        a = torch.randn(side, side, device=args.device, dtype=dtype)
        x = a.view(count, -1, 64, 64)
        channels = x.shape[1]
        weight = a.new_ones(width, channels, 3, 3)
        x, weight = (z.to(memory_format=torch.channels_last) for z in (x, weight))
        self.dtype = str(dtype).removeprefix('torch.')
        self.probes: dict[str, Callable[[], object]] = {
            'a large matrix product': lambda: a @ a,
            'a large convolution': lambda: torch.conv2d(x, weight, padding=1),
        }

    def report(self, timings: Mapping[str, Timing], counts: Mapping[str, int]) -> None:
        """Operations per second, and the fractions of the limit.

        Args:
            timings: of probes and works.
            counts: operations of the works.
        """
        own = {name: operations(probe) for name, probe in self.probes.items()}
        rates = {n: c / timings[n].median for n, c in (own | dict(counts)).items()}
        limit = max(rates[name] for name in own)
        print_values(
            f'operations per second, in 1e9; the limit in {self.dtype}',
            {name: rate / 1e9 for name, rate in rates.items()},
        )
        fractions = {name: rates[name] / limit for name in counts}
        print_values('fraction of the limit', fractions)


# Results


def record(**result) -> None:
    """Append a result to the file of ``python -m benchmarks``, if it runs this."""
    path = os.environ.get(RECORDS)
    if path:
        with open(path, 'a') as file:
            file.write(json.dumps(result) + '\n')


def print_table(timings: Mapping[str, Timing], against: str, title: str = '') -> None:
    """One line per variant, with its speed as a multiple of ``against``'s."""
    rows = {name: timing._asdict() for name, timing in timings.items()}
    record(title=title, against=against, timings=rows)
    width = max(map(len, [title, *timings]))
    print(f'{title:{width}}  median ms  (quartiles)           faster by')
    for name, (median, low, high) in timings.items():
        ratio = timings[against].median / median
        print(
            f'{name:{width}}  {1e3 * median:9.2f}  ({1e3 * low:8.2f} .. '
            f'{1e3 * high:8.2f})  {ratio:6.2f}'
        )


def print_values(title: str, values: Mapping[str, float]) -> None:
    """Numbers that are no seconds; ``title`` has their unit."""
    record(title=title, values=dict(values))
    width = max(map(len, [title, *values]))
    print(title)
    for name, value in values.items():
        print(f'{name:{width}}  {value:.3g}')


def print_medians(title: str, timings: Mapping[str, Timing]) -> None:
    """Milliseconds of things that are not compared with each other."""
    medians = {name: 1e3 * timing.median for name, timing in timings.items()}
    print_values(f'{title}, ms', medians)


def print_growth(
    what: str, axis: str, values: Sequence[float], results: Sequence[float]
) -> None:
    """How the results grow with the values of an axis, with the fitted exponent."""
    if min(results) <= 0:
        leave_out(f'growth of {what} with {axis}', 'a result is not positive')
        return
    power = exponent(values, results)
    numbers = dict(values=list(values), results=list(results))
    record(what=what, axis=axis, exponent=power, **numbers)
    points = (
        f'{axis} {value}: {result:.4g}' for value, result in zip(*numbers.values())
    )
    print(f'{what}: {", ".join(points)}; grows with {axis} ** {power:.2f}')


def leave_out(what: str, why: object) -> None:
    """Report what cannot be measured here."""
    record(left_out=what, why=str(why))
    print(f'{what} is left out: {why}')


def _processor() -> str:
    try:
        with open('/proc/cpuinfo') as file:
            names = [line.split(':')[1] for line in file if 'model name' in line]
        return names[0].strip()
    except (OSError, IndexError):
        return platform.machine()
