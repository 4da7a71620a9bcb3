"""Conditional heads of equal widths: relation layers against concatenation.

    python benchmarks/heads.py
    python benchmarks/heads.py --base-channels 128 --size 80

Both have widths d, d, 2d, 4d at 1/1 to 1/8 of the size, and get the same features. One
evaluation of each head and one step of training are measured.
"""

import torch
from measure import (
    make_parser,
    operations,
    print_table,
    print_values,
    set_up,
    take_turns,
)
from torch import nn

from mmadm.models import ConcatFusion, DualDecoderUNet, RelationUNet

WIDTHS = (128, 256, 512, 1024)


def make_heads(base_channels: int) -> dict[str, nn.Module]:
    shared = dict(base_channels=base_channels, condition_channels=WIDTHS)
    return {
        # Widths after each level.
        'relation layers': RelationUNet(channel_mult=(1, 2, 4, 4), **shared),
        # Widths of each level.
        'concatenation': DualDecoderUNet(
            channel_mult=(1, 1, 2, 4),
            num_blocks=2,
            attention_levels=(3,),
            fusion=dict(type=ConcatFusion),
            **shared,
        ),
    }


def main() -> None:
    parser = make_parser(__doc__.splitlines()[0], repeats=7)
    parser.add_argument('--base-channels', type=int, default=64, help='d')
    parser.add_argument('--size', type=int, default=48, help='side of the latents')
    parser.add_argument('--batch', type=int, default=1)
    args = parser.parse_args()
    set_up(args)

    heads = make_heads(args.base_channels)
    shape, c_noise = (args.batch, 3, args.size, args.size), torch.zeros(args.batch)
    x, c_noise = torch.randn(shape, device=args.device), c_noise.to(args.device)
    sides = [max(1, args.size // 2**i) for i in range(4)]
    features = [
        torch.randn(args.batch, width, side, side, device=args.device)
        for width, side in zip(WIDTHS, sides)
    ]
    sizes = {}
    for name, head in heads.items():
        head.to(args.device).eval()
        parameters = sum(parameter.numel() for parameter in head.parameters())
        sizes[f'{name}: parameters, in 1e6'] = parameters / 1e6
        with torch.no_grad():
            count = operations(lambda head=head: head(x, c_noise, features))
        sizes[f'{name}: multiply-accumulates, in 1e9'] = count / 2e9 / args.batch
    print_values(f'heads, {args.base_channels} wide', sizes)

    @torch.no_grad()
    def evaluate(head: nn.Module) -> None:
        head.eval()(x, c_noise, features)

    def train(head: nn.Module) -> None:
        head.train().zero_grad()
        sum(output.square().mean() for output in head(x, c_noise, features)).backward()

    for title, step in (('one evaluation', evaluate), ('one step of training', train)):
        variants = {
            name: lambda head=head, step=step: step(head)
            for name, head in heads.items()
        }
        timings = take_turns(variants, args.repeats, args.device)
        print_table(timings, 'relation layers', title)


if __name__ == '__main__':
    main()
