"""Distance to the machine's limit: operations per second of training and sampling.

    python benchmarks/utilisation.py
    python benchmarks/utilisation.py --device cuda --paper

The operations of a step of training, and of sampling a batch, are counted and divided
by the seconds. The limit is the faster of a large matrix product and a large
convolution of the same type, in the same turns: the fraction is the model FLOPs
utilisation (MFU). Without ``--paper``, toys of the same parts are measured.
"""

from collections.abc import Callable

import torch
from measure import (
    Limit,
    is_gpu_run,
    make_parser,
    operations,
    set_up,
    take_turns,
    use_tf32,
)
from paper_models import CONFIGS, Work, make_work
from training_step import Step

from mmadm.utils import prepare_inference


def main() -> None:
    parser = make_parser(__doc__.splitlines()[0], repeats=5)
    parser.add_argument('--configs', nargs='+', default=CONFIGS)
    parser.add_argument('--paper', action='store_true', help="the paper's sizes")
    parser.add_argument('--base-channels', type=int, default=64, help='of toys')
    parser.add_argument(
        '--batch-size', type=int, help="default: the paper's; 2 of toys"
    )
    parser.add_argument('--steps', type=int, default=5, help='of sampling (NFE)')
    parser.add_argument('--dtype', help='default: bfloat16 on GPUs, else float32')
    args = parser.parse_args()
    set_up(args)
    default = 'bfloat16' if is_gpu_run(args) else 'float32'
    dtype = getattr(torch, args.dtype or default)
    limit = Limit(args, dtype)
    for config in args.configs:
        use_tf32(True)
        width = None if args.paper else args.base_channels
        work = make_work(config, args.device, width, args.batch_size, args.steps)
        works = {
            f'{config}: training': training(work, dtype),
            f'{config}: sampling': sampling(work, dtype),
        }
        functions = {name: function for name, (function, _) in works.items()}
        counts = {name: count for name, (_, count) in works.items()}
        timings = take_turns(functions | limit.probes, args.repeats, args.device)
        limit.report(timings, counts)
        print()


def training(work: Work, dtype: torch.dtype) -> tuple[Step, int]:
    """A step of training, and its operations."""
    bf16 = dtype == torch.bfloat16
    options = dict(fused=True, channels_last=True, tf32=True, bf16=bf16)
    step = Step(work.model, work.data(), **options)
    return step, operations(step)


def sampling(work: Work, dtype: torch.dtype) -> tuple[Callable[[], object], int]:
    """Sampling of one batch, prepared as by the inferencer, and its operations."""
    model, condition = prepare_inference(work.model), work.condition()

    def sample() -> None:
        bf16 = dtype == torch.bfloat16
        with torch.no_grad(), torch.autocast(work.device, torch.bfloat16, bf16):
            model.sample(work.size, work.samples(), condition)

    return sample, operations(sample)


if __name__ == '__main__':
    main()
