"""Distance to the machine's limit: operations per second of training and sampling.

    python benchmarks/utilisation.py
    python benchmarks/utilisation.py --device cuda --paper

The operations of a step of training, and of sampling a batch, are counted and divided
by the seconds. The limit is the faster of a large matrix product and a large
convolution of the same type, in the same turns: the fraction is the model FLOPs
utilisation (MFU). Without ``--paper``, toys of the same parts are measured.
"""

import argparse
from collections.abc import Callable

import torch
from measure import make_parser, operations, print_utilisation, set_up, use_tf32
from paper_models import CONFIGS, Work, make_work
from training_step import Step

from mmadm.utils import prepare_inference


def main() -> None:
    parser = make_parser(__doc__.splitlines()[0], repeats=5)
    parser.add_argument('--configs', nargs='+', default=CONFIGS)
    parser.add_argument('--paper', action='store_true', help="the paper's sizes")
    parser.add_argument('--base-channels', type=int, default=64, help='of toys')
    parser.add_argument('--batch-size', type=int, help="default: the paper's; 2 of toys")
    parser.add_argument('--steps', type=int, default=5, help='of sampling (NFE)')
    parser.add_argument('--dtype', help='default: bfloat16 on GPUs, else float32')
    parser.add_argument('--compile', action='store_true', help='takes minutes')
    args = parser.parse_args()
    set_up(args)
    default = 'float32' if args.device == 'cpu' else 'bfloat16'
    dtype = getattr(torch, args.dtype or default)
    for config in args.configs:
        use_tf32(True)
        width = None if args.paper else args.base_channels
        work = make_work(config, args.device, width, args.batch_size, args.steps)
        works = {
            f'{config}: training': training(work, dtype, args),
            f'{config}: sampling': sampling(work, dtype, args),
        }
        functions = {name: function for name, (function, _) in works.items()}
        counts = {name: count for name, (_, count) in works.items()}
        print_utilisation(functions, counts, args, dtype)
        print()


def training(
    work: Work, dtype: torch.dtype, args: argparse.Namespace
) -> tuple[Callable[[], object], int]:
    """A step of training with all switches, and its operations."""
    options = dict(fused=True, channels_last=True, bf16=dtype == torch.bfloat16)
    data = work.data()
    count = operations(Step(work.model, data, **options))
    step = Step(work.model, data, tf32=True, compile=args.compile, **options)
    return step, count


def sampling(
    work: Work, dtype: torch.dtype, args: argparse.Namespace
) -> tuple[Callable[[], object], int]:
    """Sampling of one batch, prepared as by the inferencer, and its operations."""
    model, condition = prepare_inference(work.model), work.condition()

    def sample() -> None:
        enabled = dtype == torch.bfloat16
        with torch.no_grad(), torch.autocast(args.device, torch.bfloat16, enabled):
            model.sample(work.size, work.samples(), condition)

    count = operations(sample)
    if args.compile:
        model.head.compile()
    return sample, count


if __name__ == '__main__':
    main()
