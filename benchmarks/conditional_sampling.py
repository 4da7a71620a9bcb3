"""Conditional sampling: the condition's features once, or at every step.

    python benchmarks/conditional_sampling.py
    python benchmarks/conditional_sampling.py --arch base --base-channels 128 --size 256

With cost c of the encoder and u of the head, N calls should be (N (c + u)) / (c + N u)
times faster. All three are measured here, in the same turns.
"""

import torch
from measure import make_parser, print_table, set_up, take_turns

from mmadm.models import ADM, DualDecoderUNet, SwinEncoder
from mmadm.utils import SampleNoise


def main() -> None:
    parser = make_parser(__doc__.splitlines()[0], repeats=5)
    parser.add_argument('--arch', default='tiny', help='of the Swin encoder')
    parser.add_argument('--base-channels', type=int, default=32)
    parser.add_argument('--size', type=int, default=64, help='side of the condition')
    parser.add_argument('--steps', type=int, default=10, help='N')
    args = parser.parse_args()
    set_up(args)

    encoder = SwinEncoder(args.arch)
    model = ADM(
        head=dict(
            type=DualDecoderUNet,
            base_channels=args.base_channels,
            channel_mult=(1, 2, 2, 2),
            num_blocks=1,
            attention_levels=(),
            condition_channels=encoder.out_channels,
        ),
        condition_encoder=encoder,
    )
    model.to(args.device).eval()
    side = args.size // 4
    condition = torch.randn(1, 3, args.size, args.size, device=args.device)
    results = {}

    @torch.no_grad()
    def sample(name: str, every_step: bool) -> None:
        features = model.encode_condition(condition)

        def denoise(x_t, t):
            now = model.encode_condition(condition) if every_step else features
            return model.denoise(x_t, torch.full((1,), t, device=x_t.device), now)

        noise = SampleNoise([0], (3, side, side), args.device)
        sampler, process = model.sampler, model.process
        results[name] = sampler(denoise, process, noise, num_steps=args.steps)

    @torch.no_grad()
    def call_head() -> None:
        x = torch.randn(1, 3, side, side, device=args.device)
        model.denoise(x, torch.ones(1, device=args.device), features)

    with torch.no_grad():
        features = model.encode_condition(condition)
    timings = take_turns(
        {
            'at every step': lambda: sample('every', True),
            'once': lambda: sample('once', False),
            'encoder alone (c)': lambda: model.encode_condition(condition.clone()),
            'head alone (u)': call_head,
        },
        args.repeats,
        args.device,
    )
    print_table(timings, 'at every step')
    c, u = (timings[name].median for name in ('encoder alone (c)', 'head alone (u)'))
    n = args.steps
    # The slow way encodes once more than N times: its features are not used.
    slow = timings['at every step'].median - c
    gain = slow / timings['once'].median
    formula = n * (c + u) / (c + n * u)
    print(f'faster by {gain:.2f}; the formula says {formula:.2f}')
    print(f'equal samples: {torch.equal(results["every"], results["once"])}')


if __name__ == '__main__':
    main()
