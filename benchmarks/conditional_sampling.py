"""Conditional sampling: the condition is encoded once, or at every step.

    python benchmarks/conditional_sampling.py
    python benchmarks/conditional_sampling.py --arch base --base-channels 128 --size 256

With cost c of the encoder and u of the head, N steps should be (N (c + u)) / (c + N u)
times faster. All three are measured in the same turns.
"""

import torch
from measure import (
    make_parser,
    print_medians,
    print_table,
    print_values,
    set_up,
    take_turns,
)

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
        once = model.denoiser(condition)

        def denoise(x_t, t):
            return (model.denoiser(condition) if every_step else once)(x_t, t)

        noise = SampleNoise([0], (3, side, side), args.device)
        sampler, process = model.sampler, model.process
        results[name] = sampler(denoise, process, noise, num_steps=args.steps)

    @torch.no_grad()
    def run_head() -> None:
        x = torch.randn(1, 3, side, side, device=args.device)
        model.denoise(x, torch.ones(1, device=args.device), features)

    with torch.no_grad():
        features = model.encode_condition(condition)
    timings = take_turns(
        {
            'at every step': lambda: sample('every', True),
            'once': lambda: sample('once', False),
            'encoder alone (c)': lambda: model.encode_condition(condition.clone()),
            'head alone (u)': run_head,
        },
        args.repeats,
        args.device,
    )
    parts = {name: timings.pop(name) for name in list(timings) if 'alone' in name}
    print_table(timings, 'at every step', 'condition encoded')
    print_medians('one evaluation', parts)
    c, u = (part.median for part in parts.values())
    n = args.steps
    # This variant encodes N + 1 times: the first features are not used.
    slow = timings['at every step'].median - c
    gain = slow / timings['once'].median
    formula = n * (c + u) / (c + n * u)
    equal = torch.equal(results['every'], results['once'])
    print_values(
        f'{n} steps with the condition encoded once',
        {
            'faster by, without the first of N + 1 encodings': gain,
            'faster by, from the formula': formula,
            'equal samples (1: yes)': equal,
        },
    )


if __name__ == '__main__':
    main()
