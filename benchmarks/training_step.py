"""One training step: what each switch gains, and what it costs in accuracy.

    python benchmarks/training_step.py
    python benchmarks/training_step.py --small --compile
    python benchmarks/training_step.py --device cuda --paper --compile

Every variant begins with the same weights and takes the same steps. Then their losses
are compared with those of the plain variant, step by step, and the feature maps that
the backward pass keeps.
"""

import argparse
import copy
import logging
from types import SimpleNamespace

import torch
from measure import (
    Limit,
    compile_options,
    is_gpu_run,
    make_parser,
    operations,
    print_table,
    print_values,
    set_up,
    take_turns,
    use_tf32,
)
from mmengine.optim import OptimWrapper
from torch import Tensor
from torch.optim import AdamW

from mmadm.engine import AccelerationHook, AutocastOptimWrapper
from mmadm.models import ADM, DualDecoderUNet
from mmadm.structures import DiffusionSample

PLAIN = 'plain float32'


class Step:
    """A model that takes one training step per call.

    Args:
        model: where it begins; copied.
        data: the batch, the same at each step.
        bf16: compute in bfloat16, as ``tools/train.py --amp``.
        fused: let the optimizer update all weights in one kernel.
        tf32: let a GPU round the inputs of products.
        switches: further ones of :class:`AccelerationHook`.
    """

    def __init__(
        self,
        model: ADM,
        data: dict,
        bf16: bool = False,
        fused: bool = False,
        tf32: bool = False,
        **switches,
    ) -> None:
        self.model, self.data, self.tf32 = copy.deepcopy(model).train(), data, tf32
        trained = [p for p in self.model.parameters() if p.requires_grad]
        wrapper = AutocastOptimWrapper if bf16 else OptimWrapper
        self.wrapper = wrapper(optimizer=AdamW(trained, lr=1e-4, fused=fused or None))
        hook = AccelerationHook(**dict(compile=False, tf32=False) | switches)
        runner = SimpleNamespace(model=self.model, logger=logging.getLogger())
        hook.before_run(runner)
        hook.before_train(runner)
        self.losses: list[Tensor] = []

    def __call__(self) -> None:
        use_tf32(self.tf32)
        loss = self.model.train_step(self.data, self.wrapper)['loss']
        self.losses.append(loss.detach())

    def kept(self) -> int:
        """Bytes that wait for the backward pass, weights aside."""
        storages = {}

        def remember(x: Tensor) -> Tensor:
            storages[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
            return x

        with torch.autograd.graph.saved_tensors_hooks(remember, lambda x: x):
            data = self.model.data_preprocessor(self.data, True)
            with self.wrapper.optim_context(self.model):
                losses = self.model(**data, mode='loss')
        for parameter in self.model.parameters():
            storages.pop(parameter.untyped_storage().data_ptr(), None)
        return sum(storages.values()) if losses else 0


def make_batch(size: int, count: int) -> dict:
    images = torch.randint(256, (count, 3, size, size), dtype=torch.uint8)
    samples = [DiffusionSample(metainfo=dict(seed=seed)) for seed in range(count)]
    return dict(inputs=dict(image=list(images)), data_samples=samples)


def make_variants(args: argparse.Namespace) -> dict[str, dict[str, dict]]:
    """Tables of variants: each switch alone, and what compilation adds."""
    together = dict(bf16=True, fused=True)
    if is_gpu_run(args):
        together |= dict(tf32=True, channels_last=True)
    names = ', '.join(together)
    eager = {
        PLAIN: {},
        'fused AdamW': dict(fused=True),
        'channels last': dict(channels_last=True),
        'bfloat16': dict(bf16=True),
        'recomputed blocks': dict(recompute='ResBlock'),
        names: together,
    }
    if is_gpu_run(args):
        eager['TF32'] = dict(tf32=True)
    options = compile_options(args) if args.compile else None
    if options is None:
        return dict(eager=eager)
    compiled = dict(compile=options or True)
    # Last, since it may take longer than there is time.
    return dict(
        eager=eager,
        compiled={
            PLAIN: {},
            'compiled': compiled,
            names: together,
            f'{names}, compiled': together | compiled,
        },
    )


def compare(steps: dict[str, Step]) -> None:
    """Largest relative difference of a loss, and the memory kept."""
    plain = torch.stack(steps[PLAIN].losses)
    differences = {
        name: float(((torch.stack(step.losses) - plain) / plain).abs().max())
        for name, step in steps.items()
    }
    print_values('largest relative difference of a loss', differences)
    kept = {name: step.kept() / 2**20 for name, step in steps.items()}
    print_values('feature maps kept for the backward pass, MiB', kept)


def main() -> None:
    parser = make_parser(__doc__.splitlines()[0], repeats=7)
    parser.add_argument('--base-channels', type=int, default=32)
    parser.add_argument('--size', type=int, default=32, help='side of the images')
    parser.add_argument('--batch-size', type=int, default=4)
    parser.add_argument('--paper', action='store_true', help='160 channels, batch 128')
    parser.add_argument('--compile', action='store_true', help='takes minutes')
    parser.add_argument(
        '--small', action='store_true', help='two levels of one block: compiles sooner'
    )
    args = parser.parse_args()
    set_up(args)
    head = dict(type=DualDecoderUNet, base_channels=args.base_channels)
    if args.paper:
        head.update(base_channels=160)
        args.batch_size = 128
    if args.small:
        head.update(channel_mult=(1, 2), num_blocks=1, attention_levels=(1,))
    model = ADM(head=head).to(args.device)
    parameters = sum(p.numel() for p in model.parameters())
    title = f'step of {parameters / 1e6:.2f} M parameters, batch {args.batch_size}'

    data = make_batch(args.size, args.batch_size)
    limit = Limit(args, torch.bfloat16 if is_gpu_run(args) else torch.float32)
    count = operations(Step(model, data))
    for name, variants in make_variants(args).items():
        steps = {name: Step(model, data, **kw) for name, kw in variants.items()}
        timings = take_turns(steps | limit.probes, args.repeats, args.device)
        own = {name: timings[name] for name in steps}
        print_table(own, PLAIN, f'{name} {title}')
        compare(steps)
        limit.report(timings, dict.fromkeys(steps, count))


if __name__ == '__main__':
    main()
