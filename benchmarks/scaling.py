"""How training and evaluation scale: calculated for GPUs, compared with two processes.

    python benchmarks/scaling.py
    python benchmarks/scaling.py --measure

Calculated, for n devices with a local batch B, P weights, F multiply-accumulates per
image of one evaluation of the networks, R operations per second reached, G = 4 P bytes:

    compute   = 3 * 2 F B / R                     forward, and twice that backward
    exchange  = 2 (n - 1) / n * G / bandwidth     ring all-reduce
    step      = compute + max(0, exchange - 2/3 compute)

since gradients travel while the rest of the backward pass goes on. The bandwidth is
that of the slowest link: between nodes, as soon as there are two.

``--measure`` trains with one and two processes (gloo, one thread each). There the same
core computes and exchanges, so a step of two takes between ``compute`` and ``compute +
exchange``. What counts are the seconds that a process computes: programs beside it
disturb little.
"""

import copy
import os
import tempfile
import time
from pathlib import Path

import torch
import torch.distributed as dist
from measure import make_parser, summary
from training_step import make_batch

from mmadm.models import ADM, DualDecoderUNet

#: Multiply-accumulates of InceptionV3 for one 299 x 299 image.
_INCEPTION = 5.7e9
#: Fraction of the computation that is the backward pass.
_BACKWARD = 2 / 3


def exchange_seconds(n: int, size: float, bandwidth: float) -> float:
    """Ring all-reduce of ``size`` bytes among n processes."""
    return 2 * (n - 1) / n * size / bandwidth


def step_seconds(compute: float, exchange: float) -> float:
    """A step whose exchange hides behind the backward pass as far as it can."""
    return compute + max(0.0, exchange - _BACKWARD * compute)


def print_training(args) -> None:
    rate = args.peak * args.utilisation * 1e12
    compute = 3 * 2 * args.gmacs * 1e9 * args.batch_size / rate
    size = 4e6 * args.millions
    print(f'local batch {args.batch_size}: computing {1e3 * compute:.0f} ms')
    print('devices  exchange ms  step ms  images/s  efficiency  of one batch split')
    for n in (1, 2, 4, 8, 16, 32, 64):
        link = args.node_link if n <= args.per_node else args.net_link
        exchange = exchange_seconds(n, size, link * 1e9)
        step = step_seconds(compute, exchange)
        images = n * args.batch_size / step
        # The batch of one device, split among all: as much to exchange as ever.
        split = compute / n / step_seconds(compute / n, exchange)
        print(
            f'{n:7} {1e3 * exchange:12.2f} {1e3 * step:8.1f} {images:9.0f} '
            f'{compute / step:11.2f} {split:19.2f}'
        )


def print_evaluation(args) -> None:
    rate = args.peak * args.utilisation * 1e12
    work = 2 * 50000 * (args.steps * args.gmacs * 1e9 + _INCEPTION)
    sums = 8 * (2048**2 + 2048)
    print(f'\n50,000 samples of {args.steps} steps and their Inception features')
    print('devices  seconds  exchange of the sums, ms')
    for n in (1, 2, 4, 8, 16, 32, 64):
        link = args.node_link if n <= args.per_node else args.net_link
        exchange = exchange_seconds(n, sums, link * 1e9)
        print(f'{n:7} {work / rate / n + exchange:8.1f} {1e3 * exchange:12.2f}')


def print_checkpoint(args) -> None:
    state = 4e6 * args.millions
    print(
        f'\ncheckpoint: {4 * state / 1e9:.2f} GB (weights, average, two moments), '
        f'{4 * state / 1e9 / args.disk:.1f} s at {args.disk:g} GB/s; '
        f'weights to publish: {state / 1e9:.2f} GB'
    )
    print(
        f'held per device besides feature maps: {5 * state / 1e9:.2f} GB with DDP; '
        f'in shards on n devices: {5 * state / 1e9:.2f} GB / n'
    )


def measure(args) -> None:
    """One and two processes, and the formula for two."""
    alone, pair = (train_in_processes(n, args) for n in (1, 2))
    one, two, exchange = alone['seconds'], pair['seconds'], pair['exchange']
    print(
        f'{pair["size"] / 4e6:.2f} M weights, local batch {args.local_batch}, seconds '
        'per step'
    )
    print(f'one process {one:.3f}; all-reduce alone {exchange:.3f}')
    print(f'two processes {two:.3f}, calculated {one:.3f} to {one + exchange:.3f}')
    low = one / (one + exchange)
    print(f'efficiency {one / two:.2f}, calculated {low:.2f} to 1.00')


def train_in_processes(n: int, args) -> dict[str, float]:
    """Train with n processes.

    Args:
        n: number of processes.
        args: ``base_channels``, ``local_batch`` and ``repeats``.

    Returns:
        medians per step: 'seconds' that a process computes, 'wall', seconds that pass,
        and 'exchange', seconds that a process computes for the all-reduce alone; with
        'size', the bytes of the gradients.
    """
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(train, (n, folder, args), nprocs=n)
        return torch.load(Path(folder, 'times.pt'))


def train(rank: int, n: int, folder: str, args) -> None:
    """Time steps as process ``rank`` of n; the first one writes them down."""
    torch.set_num_threads(1)
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    meeting = f'file://{folder}/meeting'
    dist.init_process_group('gloo', init_method=meeting, rank=rank, world_size=n)
    torch.manual_seed(0)
    model = ADM(head=dict(type=DualDecoderUNet, base_channels=args.base_channels))
    size = 4 * sum(p.numel() for p in model.parameters())
    wrapped = torch.nn.parallel.DistributedDataParallel(model) if n > 1 else model
    optimizer = torch.optim.AdamW(wrapped.parameters(), fused=True)
    data = make_batch(32, args.local_batch)

    def step() -> None:
        inputs = model.data_preprocessor(copy.deepcopy(data), True)
        losses = wrapped(**inputs, mode='loss')
        sum(losses[key] for key in ('loss_image', 'loss_noise')).backward()
        optimizer.step()
        optimizer.zero_grad()

    seconds, wall = _typical(step, args.repeats)
    gradient = torch.zeros(size // 4)
    exchange, _ = _typical(lambda: dist.all_reduce(gradient), args.repeats)
    if rank == 0:
        times = dict(seconds=seconds, wall=wall, exchange=exchange, size=size)
        torch.save(times, Path(folder, 'times.pt'))
    dist.destroy_process_group()


def _typical(function, repeats: int) -> tuple[float, float]:
    """Medians of the seconds it computes and of those that pass, after a first call."""
    function()
    computed, passed = [], []
    for _ in range(repeats):
        begin, start = time.process_time(), time.perf_counter()
        function()
        computed.append(time.process_time() - begin)
        passed.append(time.perf_counter() - start)
    return summary(computed).median, summary(passed).median


def main() -> None:
    parser = make_parser(__doc__.splitlines()[0], repeats=9)
    parser.add_argument('--gmacs', type=float, default=24.8, help='F, in 1e9')
    parser.add_argument('--millions', type=float, default=150.13, help='P, in 1e6')
    parser.add_argument('--batch-size', type=int, default=128, help='B')
    parser.add_argument('--steps', type=int, default=10, help='steps (NFE) per sample')
    parser.add_argument('--peak', type=float, default=790, help='TFLOP/s of a device')
    parser.add_argument('--utilisation', type=float, default=0.4, help='R / peak')
    parser.add_argument('--per-node', type=int, default=8, help='devices per node')
    parser.add_argument('--node-link', type=float, default=400, help='GB/s in a node')
    parser.add_argument('--net-link', type=float, default=40, help='GB/s to others')
    parser.add_argument('--disk', type=float, default=1, help='GB/s')
    parser.add_argument('--measure', action='store_true', help='with two processes')
    parser.add_argument('--base-channels', type=int, default=32, help='of --measure')
    parser.add_argument('--local-batch', type=int, default=4, help='of --measure')
    args = parser.parse_args()
    print_training(args)
    print_evaluation(args)
    print_checkpoint(args)
    if args.measure:
        print()
        measure(args)


if __name__ == '__main__':
    main()
