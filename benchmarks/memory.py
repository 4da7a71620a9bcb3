"""Memory: peak of training and of sampling by the size of the images.

    python benchmarks/memory.py
    python benchmarks/memory.py --device cuda --base-channels 160 --sides 32 64 128

On a CPU, each peak is that of a fresh process. Libraries, model and optimizer are there
before the image, and are not counted; what remains grows with it.
"""

import resource
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch
from measure import (
    device_peak,
    is_gpu_run,
    make_parser,
    print_growth,
    print_values,
    set_up,
)
from training_step import Step, make_batch

from mmadm.models import ADM, DualDecoderUNet
from mmadm.structures import DiffusionSample
from mmadm.utils import prepare_inference

_MIB = 2**20


def training(model: ADM, **switches) -> Callable[[int], object]:
    """A step with one image of a given side."""
    step = Step(model, {}, fused=True, **switches)

    def work(side: int) -> None:
        step.data = make_batch(side, 1)
        step()

    return work


def recomputed(model: ADM) -> Callable[[int], object]:
    """The same; the backward pass computes inner feature maps again."""
    return training(model, recompute='ResBlock')


def sampling(model: ADM) -> Callable[[int], object]:
    """Sampling of one image of a given side in two steps."""
    prepare_inference(model)

    @torch.no_grad()
    def work(side: int) -> None:
        model.sample((side, side), [DiffusionSample(metainfo=dict(sample_idx=0))])

    return work


WORKS = {
    'training': training,
    'training, recomputed blocks': recomputed,
    'sampling': sampling,
}


def peak(name: str, side: int, base_channels: int, device: str) -> float:
    """MiB beyond what is there before the first image; on a CPU of this process."""
    torch.set_num_threads(1)
    head = dict(type=DualDecoderUNet, base_channels=base_channels)
    work = WORKS[name](ADM(head=head, test_cfg=dict(num_steps=2)).to(device))
    work(8)  # gradients, moments, and the libraries' own buffers
    before = _resident() if device == 'cpu' else torch.cuda.memory_allocated()
    after = device_peak(device, lambda: work(side)) or _resident()
    return (after - before) / _MIB


def _resident() -> int:
    """Bytes of this process at its peak so far."""
    unit = 1 if sys.platform == 'darwin' else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main() -> None:
    parser = make_parser(__doc__.splitlines()[0], repeats=1)
    parser.add_argument('--base-channels', type=int, default=32)
    parser.add_argument('--sides', type=int, nargs='+', default=[64, 96, 128, 192])
    args = parser.parse_args()
    set_up(args)
    peaks = {}
    for name in WORKS:
        for side in args.sides:
            work = name, side, args.base_channels, args.device
            if is_gpu_run(args):
                peaks[name, side] = peak(*work)
                continue
            with ProcessPoolExecutor(1, get_context('spawn')) as process:
                peaks[name, side] = process.submit(peak, *work).result()
    print_values(
        f'peak of one image, {args.base_channels} channels, MiB',
        {f'{name}, {side}x{side}': value for (name, side), value in peaks.items()},
    )
    for name in WORKS:
        values = [peaks[name, side] for side in args.sides]
        print_growth(f'memory of {name}', 'side', args.sides, values)


if __name__ == '__main__':
    main()
