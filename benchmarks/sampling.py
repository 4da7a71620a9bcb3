"""Sampling of one batch: what each switch gains, and what it changes.

    python benchmarks/sampling.py
    python benchmarks/sampling.py --device cuda --paper --compile

All variants have the same weights and noise; their images, in [-1, 1], are compared
with those of the plain variant.
"""

import argparse
import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

import torch
from measure import (
    compile_options,
    is_gpu_run,
    make_parser,
    print_table,
    print_values,
    set_up,
    take_turns,
    use_tf32,
)
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from mmadm.models import ADM, DualDecoderUNet
from mmadm.structures import DiffusionSample
from mmadm.utils import prepare_inference

PLAIN = 'plain float32'


Variants = dict[str, tuple[ADM, dict[str, bool]]]


def make_variants(model: ADM, args: argparse.Namespace) -> dict[str, Variants]:
    """Tables of models and switches of ``switched``: eager, and compiled."""
    prepared = prepare_inference(copy.deepcopy(model))
    eager = {
        PLAIN: (model, {}),
        'attention in explicit steps': (model, dict(explicit=True)),
        'channels last': (prepared, {}),
        'channels last, bfloat16': (prepared, dict(bf16=True)),
    }
    if is_gpu_run(args):
        eager['TF32'] = model, dict(tf32=True)
        eager['channels last, TF32'] = prepared, dict(tf32=True)
    options = compile_options(args) if args.compile else None
    if options is None:
        return dict(eager=eager)
    network = copy.deepcopy(prepared)
    network.head.compile(**options)
    # Last, since it may take longer than there is time.
    return dict(
        eager=eager,
        compiled={
            PLAIN: (model, {}),
            'channels last, TF32, compiled': (network, dict(tf32=True)),
            'channels last, bfloat16, compiled': (network, dict(bf16=True)),
        },
    )


@contextmanager
def switched(
    device: str, bf16: bool = False, tf32: bool = False, explicit: bool = False
) -> Iterator[None]:
    """Types of the products; attention as products and softmax, with its matrix."""
    use_tf32(tf32)
    attention = sdpa_kernel(SDPBackend.MATH) if explicit else nullcontext()
    with attention, torch.autocast(device, torch.bfloat16, bf16):
        yield


@torch.no_grad()
def main() -> None:
    parser = make_parser(__doc__.splitlines()[0], repeats=3)
    parser.add_argument('--base-channels', type=int, default=64)
    parser.add_argument('--size', type=int, default=32, help='side of the images')
    parser.add_argument('--batch-size', type=int, default=1)
    parser.add_argument('--steps', type=int, default=10, help='function evaluations')
    parser.add_argument('--paper', action='store_true', help='160 channels, batch 256')
    parser.add_argument('--compile', action='store_true', help='takes minutes')
    parser.add_argument(
        '--small', action='store_true', help='two levels of one block: compiles sooner'
    )
    args = parser.parse_args()
    if args.paper:
        args.base_channels, args.batch_size = 160, 256
    set_up(args)
    head = dict(type=DualDecoderUNet, base_channels=args.base_channels)
    if args.small:
        head.update(channel_mult=(1, 2), num_blocks=1, attention_levels=(1,))
    model = ADM(head=head, test_cfg=dict(num_steps=args.steps))
    model.to(args.device).eval()
    facts = [dict(sample_idx=i) for i in range(args.batch_size)]
    samples = [DiffusionSample(metainfo=fact) for fact in facts]
    title = f'batch of {args.batch_size}, {args.size}x{args.size}, {args.steps} steps'
    for name, variants in make_variants(model, args).items():
        measure(f'{name}: {title}', variants, samples, args)


def measure(
    title: str,
    variants: Variants,
    samples: Sequence[DiffusionSample],
    args: argparse.Namespace,
) -> None:
    """Time the variants in turns, and compare their images."""
    images: dict[str, Tensor] = {}

    def run(name: str) -> None:
        model, switches = variants[name]
        with switched(args.device, **switches):
            images[name] = model.sample((args.size, args.size), samples)

    runs = {name: lambda n=name: run(n) for name in variants}
    print_table(take_turns(runs, args.repeats, args.device), PLAIN, title)
    differences = {
        name: float((image - images[PLAIN]).abs().max())
        for name, image in images.items()
    }
    print_values('largest difference of a pixel, of [-1, 1]', differences)


if __name__ == '__main__':
    main()
