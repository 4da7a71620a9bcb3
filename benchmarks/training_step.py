"""One training step: what each switch gains, and what it costs in accuracy.

    python benchmarks/training_step.py
    python benchmarks/training_step.py --small --compile
    python benchmarks/training_step.py --device cuda --paper --compile

Every variant begins with the same weights and takes the same steps; the last columns
compare their losses with those of the plain variant, step by step, and the feature maps
that the backward pass keeps.
"""

import copy
from collections.abc import Callable

import torch
from measure import make_parser, print_table, set_up, take_turns
from mmengine.optim import OptimWrapper
from torch import Tensor
from torch.optim import AdamW

from mmadm.engine import AutocastOptimWrapper
from mmadm.engine.hooks.acceleration import _recomputed
from mmadm.models import ADM, DualDecoderUNet
from mmadm.structures import DiffusionSample


class Step:
    """A model that takes one training step per call.

    Args:
        model: where it begins; copied.
        data: the batch, the same at each step.
        wrapper: optimizer wrapper.
        fused: let the optimizer update all weights in one kernel.
        channels_last: layout of the head.
        recompute: recompute the residual blocks.
        compile: compile the head.
    """

    def __init__(
        self,
        model: ADM,
        data: dict,
        wrapper: type[OptimWrapper] = OptimWrapper,
        fused: bool = False,
        channels_last: bool = False,
        recompute: bool = False,
        compile: bool = False,
    ) -> None:
        self.model, self.data = copy.deepcopy(model), data
        head = self.model.head
        if channels_last:
            head.to(memory_format=torch.channels_last)
        optimizer = AdamW(self.model.parameters(), lr=1e-4, fused=fused or None)
        self.wrapper = wrapper(optimizer=optimizer)
        if recompute:
            for block in head.modules():
                if type(block).__name__ == 'ResBlock':
                    block.forward = _recomputed(block.forward)
        if compile:
            head.compile()
        self.losses: list[Tensor] = []

    def __call__(self) -> None:
        self.losses.append(self.model.train_step(self.data, self.wrapper)['loss'])

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


def make_variants(compile: bool) -> dict[str, dict]:
    bf16 = dict(wrapper=AutocastOptimWrapper)
    variants = {
        'plain float32': {},
        'fused AdamW': dict(fused=True),
        'channels last': dict(channels_last=True),
        'bfloat16': bf16,
        'recomputed blocks': dict(recompute=True),
    }
    if compile:
        variants['compiled'] = dict(compile=True)
        variants['bfloat16, compiled, fused'] = bf16 | dict(compile=True, fused=True)
    return variants


def check(steps: dict[str, Callable]) -> None:
    """Largest relative difference of a loss, and the bytes kept."""
    plain = torch.stack([x.detach() for x in next(iter(steps.values())).losses])
    print('largest relative difference of a loss; feature maps kept')
    for name, step in steps.items():
        losses = torch.stack([x.detach() for x in step.losses])
        difference = float(((losses - plain) / plain).abs().max())
        print(f'{name:26} {difference:8.1e} {step.kept() / 2**20:8.1f} MiB')


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
    if args.paper:
        args.base_channels, args.batch_size = 160, 128
    torch.set_float32_matmul_precision('highest')
    head = dict(type=DualDecoderUNet, base_channels=args.base_channels)
    if args.small:
        head.update(channel_mult=(1, 2), num_blocks=1, attention_levels=(1,))
    model = ADM(head=head).to(args.device)
    parameters = sum(p.numel() for p in model.parameters())
    print(f'{parameters / 1e6:.2f} M parameters, batch {args.batch_size}')

    data = make_batch(args.size, args.batch_size)
    variants = make_variants(args.compile)
    steps = {name: Step(model, data, **kw) for name, kw in variants.items()}
    print_table(take_turns(steps, args.repeats, args.device), 'plain float32')
    check(steps)


if __name__ == '__main__':
    main()
