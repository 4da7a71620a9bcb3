"""Growth of the cost: with the batch, the size, the steps, the width, the processes.

    python benchmarks/growth.py
    python benchmarks/growth.py --device cuda --base-channels 64

One axis of sampling changes at a time. The exponent p of ``seconds ~ value ** p`` is
fitted to the medians by least squares of the logarithms; 1 is proportional growth, 2
quadratic. On a CPU, one and two processes (gloo, one thread each) then train: images
per second grow with an exponent of 1 where the processes do not slow each other.
"""

import argparse
import os

import torch
from measure import (
    is_gpu_run,
    leave_out,
    make_parser,
    print_growth,
    set_up,
    take_turns,
)
from scaling import train_in_processes
from torch import Tensor

from mmadm.models import ADM, DualDecoderUNet
from mmadm.structures import DiffusionSample
from mmadm.utils import prepare_inference

AXES = dict(batch=(1, 2, 4, 8), size=(16, 32, 64), steps=(2, 4, 8), width=(1, 2, 4))


def make_model(base_channels: int, device: str) -> ADM:
    head = dict(type=DualDecoderUNet, base_channels=base_channels, num_blocks=1)
    return prepare_inference(ADM(head=head)).to(device)


@torch.no_grad()
def sample(model: ADM, batch: int, size: int, steps: int) -> Tensor:
    """Images (batch, 3, size, size)."""
    model.test_cfg['num_steps'] = steps
    samples = [DiffusionSample(metainfo=dict(sample_idx=i)) for i in range(batch)]
    return model.sample((size, size), samples)


def main() -> None:
    parser = make_parser(__doc__.splitlines()[0], repeats=5)
    parser.add_argument('--base-channels', type=int, default=16, help='width 1')
    parser.add_argument('--local-batch', type=int, default=4, help='of a process')
    args = parser.parse_args()
    set_up(args)
    models = {
        width: make_model(width * args.base_channels, args.device)
        for width in AXES['width']
    }
    basis = dict(batch=1, size=32, steps=4, width=2)

    def run(width: int, **work: int) -> Tensor:
        return sample(models[width], **work)

    for axis, values in AXES.items():
        variants = {
            f'{axis} {value}': lambda changed={axis: value}: run(**basis | changed)
            for value in values
        }
        timings = take_turns(variants, args.repeats, args.device)
        milliseconds = [1e3 * timing.median for timing in timings.values()]
        print_growth('ms of sampling', axis, values, milliseconds)
    if not is_gpu_run(args):
        grow_processes(args)


def grow_processes(args: argparse.Namespace) -> None:
    """Training with one and two processes."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else 2
    if cores < 2:
        leave_out('two processes', f'there is {cores} core')
        return
    args.base_channels *= 2
    runs = {n: train_in_processes(n, args) for n in (1, 2)}
    steps = [1e3 * run['seconds'] for run in runs.values()]
    print_growth(
        'ms that each process computes per training step', 'processes', (1, 2), steps
    )
    rates = [n * args.local_batch / run['wall'] for n, run in runs.items()]
    print_growth('images per second of training', 'processes', (1, 2), rates)


if __name__ == '__main__':
    main()
