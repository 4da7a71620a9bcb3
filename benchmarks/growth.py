"""Growth of the cost of sampling: with the batch, the size, the steps and the width.

    python benchmarks/growth.py
    python benchmarks/growth.py --device cuda --base-channels 64

One axis changes at a time. The exponent p of ``seconds ~ value ** p`` is fitted to the
medians by least squares of the logarithms; 1 is proportional growth, 2 quadratic. The
achieved operations per second are compared with those of a large matrix product and
of a large convolution, the faster of which counts as the machine's limit.
"""

import argparse
from collections.abc import Callable

import torch
from measure import make_parser, print_table, set_up, take_turns
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

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


def exponent(values: tuple[int, ...], seconds: list[float]) -> float:
    """The slope in a double logarithmic plot."""
    x, y = (torch.tensor(z, dtype=torch.float64).log() for z in (values, seconds))
    x, y = x - x.mean(), y - y.mean()
    return float((x * y).sum() / x.square().sum())


def main() -> None:
    parser = make_parser(__doc__.splitlines()[0], repeats=5)
    parser.add_argument('--base-channels', type=int, default=16, help='width 1')
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
        print_table(timings, f'{axis} {values[0]}')
        medians = [timing.median for timing in timings.values()]
        print(f'grows with {axis} ** {exponent(values, medians):.2f}\n')

    compare_with_limit(lambda: run(**basis | dict(width=max(models), batch=8)), args)


def compare_with_limit(work: Callable[[], object], args: argparse.Namespace) -> None:
    """Operations per second of ``work``, a large product and a large convolution."""
    a = torch.randn(2048, 2048, device=args.device)
    x, weight = a.view(1, 1024, 64, 64), a.view(-1)[: 9 * 2**18].view(256, 1024, 3, 3)
    x, weight = (z.to(memory_format=torch.channels_last) for z in (x, weight))
    variants = {
        'sampling': work,
        'matrix product': lambda: a @ a,
        'convolution': lambda: torch.conv2d(x, weight, padding=1),
    }
    timings = take_turns(variants, args.repeats, args.device)
    rates = {}
    for name, function in variants.items():
        with FlopCounterMode(display=False) as counter:
            function()
        rates[name] = counter.get_total_flops() / timings[name].median / 1e9
    limit = max(rates['matrix product'], rates['convolution'])
    print(*(f'{name} {rate:.0f} GFLOP/s' for name, rate in rates.items()), sep=', ')
    print(f'sampling reaches {rates["sampling"] / limit:.2f} of the limit')


if __name__ == '__main__':
    main()
