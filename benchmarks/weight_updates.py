"""What follows the backward pass: AdamW in three forms, the average in two.

python benchmarks/weight_updates.py
python benchmarks/weight_updates.py --device cuda --millions 90
"""

import copy

import torch
from measure import make_parser, print_table, set_up, take_turns
from mmengine.model import ExponentialMovingAverage
from torch import Tensor, nn
from torch.optim import AdamW

from mmadm.models import TrainableEMA


def make_layers(numbers: int, tensors: int, device: str) -> nn.ModuleList:
    """``tensors`` weights, ``numbers`` numbers in all."""
    layers = nn.ModuleList(
        nn.Linear(numbers // tensors, 1, bias=False) for _ in range(tensors)
    )
    return layers.to(device)


def size(layers: nn.ModuleList) -> str:
    numbers = sum(parameter.numel() for parameter in layers.parameters())
    return f'{numbers:,} weights in {len(layers)} tensors'


def compare_optimizers(layers: nn.Module, args) -> None:
    forms = {
        'AdamW, tensor by tensor': dict(foreach=False),
        'AdamW, foreach': dict(foreach=True),
        'AdamW, fused': dict(fused=True),
    }
    copies, steps = [], {}
    for name, form in forms.items():
        copies.append(copy.deepcopy(layers))
        for parameter in copies[-1].parameters():
            parameter.grad = torch.full_like(parameter, 0.1)
        steps[name] = AdamW(copies[-1].parameters(), lr=1e-4, **form).step
    timings = take_turns(steps, args.repeats, args.device)
    print_table(timings, 'AdamW, tensor by tensor', f'update of {size(layers)}')
    print(f'largest difference of a weight: {_difference(copies):.1e}\n')


def compare_averages(layers: nn.Module, args) -> None:
    averages = {
        "MMEngine's average": ExponentialMovingAverage(layers, momentum=1e-2),
        'TrainableEMA': TrainableEMA(layers, momentum=1e-2),
    }

    def update_often(average: nn.Module) -> None:
        for _ in range(args.updates):
            average.update_parameters(layers)

    # The first update copies; it is in the warm-up of take_turns.
    updates = {
        name: (lambda average=average: update_often(average))
        for name, average in averages.items()
    }
    timings = take_turns(updates, args.repeats, args.device)
    print_table(timings, "MMEngine's average", f'average of {size(layers)}')
    with torch.no_grad():
        for parameter in layers.parameters():
            parameter.add_(1)
    for update in updates.values():
        update()
    modules = [average.module for average in averages.values()]
    print(f'largest difference of a weight: {_difference(modules):.1e}\n')


def _difference(modules: list[nn.Module]) -> float:
    def flat(module: nn.Module) -> Tensor:
        return torch.cat([p.detach().flatten() for p in module.parameters()])

    first, *others = map(flat, modules)
    return max(float((first - other).abs().max()) for other in others)


def main() -> None:
    parser = make_parser(__doc__.splitlines()[0], repeats=21)
    parser.add_argument('--millions', type=float, default=10, help='of weights')
    parser.add_argument('--tensors', type=int, default=600)
    parser.add_argument(
        '--updates',
        type=int,
        default=1,
        help='of the average in each turn; one finds cold caches, as in training',
    )
    args = parser.parse_args()
    set_up(args)
    for numbers in (args.tensors, int(args.millions * 1e6)):
        layers = make_layers(numbers, args.tensors, args.device)
        compare_optimizers(layers, args)
        compare_averages(layers, args)


if __name__ == '__main__':
    main()
