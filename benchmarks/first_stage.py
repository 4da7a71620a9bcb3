"""The KL autoencoder: encoding and decoding, against diffusers' with equal weights.

    python -m pip install diffusers
    python benchmarks/first_stage.py
    python benchmarks/first_stage.py --device cuda --base-channels 128 --size 512

Without diffusers, the autoencoder is compared with itself prepared as by
``ADMInferencer``.
"""

import copy

import torch
from measure import (
    leave_out,
    make_parser,
    print_table,
    print_values,
    set_up,
    take_turns,
)
from torch import Tensor

from mmadm.checkpoints.converters.first_stage import diffusers_first_stage
from mmadm.models import KLAutoencoder
from mmadm.utils import prepare_inference


class Diffusers:
    """diffusers' ``AutoencoderKL`` with the layers of ``kl-f4``."""

    def __init__(self, base_channels: int) -> None:
        from diffusers import AutoencoderKL

        self.stage = AutoencoderKL(
            block_out_channels=[base_channels * mult for mult in (1, 2, 4)],
            down_block_types=['DownEncoderBlock2D'] * 3,
            up_block_types=['UpDecoderBlock2D'] * 3,
            layers_per_block=2,
            latent_channels=3,
        ).eval()

    def moments(self, image: Tensor) -> Tensor:
        """Mean and log-variance of the posterior."""
        return self.stage.encode(image).latent_dist.parameters

    def decode(self, latent: Tensor) -> Tensor:
        """Image of latents with the published scale."""
        return self.stage.decode(latent / 0.18215, return_dict=False)[0]


def make_stages(args) -> dict[str, KLAutoencoder | Diffusers]:
    """Autoencoders with equal weights; the first is what others are against."""
    ours, stages = KLAutoencoder(base_channels=args.base_channels).eval(), {}
    try:
        peer = Diffusers(args.base_channels)
        peer.stage.to(args.device)
        stages['AutoencoderKL'] = peer
        ours.load_state_dict(diffusers_first_stage(peer.stage.state_dict()))
    except ImportError as error:
        leave_out('diffusers', error)
    ours.to(args.device)
    prepared = prepare_inference(copy.deepcopy(ours))
    return stages | {'KLAutoencoder': ours, 'the same, channels last': prepared}


@torch.no_grad()
def main() -> None:
    parser = make_parser(__doc__.splitlines()[0], repeats=5)
    parser.add_argument(
        '--base-channels', type=int, default=32, help='a multiple of 32'
    )
    parser.add_argument('--size', type=int, default=128, help='side of the images')
    parser.add_argument('--batch-size', type=int, default=1)
    args = parser.parse_args()
    set_up(args)
    stages, results = make_stages(args), {}
    image = torch.rand(args.batch_size, 3, args.size, args.size, device=args.device)
    image = 2 * image - 1
    side = args.size // 4
    latent = torch.randn(args.batch_size, 3, side, side, device=args.device)

    works = {
        'encoding': lambda stage: stage.moments(image),
        'decoding': lambda stage: stage.decode(latent),
    }
    for title, work in works.items():

        def run(name: str, work=work) -> None:
            results[name] = work(stages[name])

        runs = {name: lambda n=name, run=run: run(n) for name in stages}
        timings = take_turns(runs, args.repeats, args.device)
        first = next(iter(stages))
        print_table(timings, first, f'{title} of {args.size}x{args.size}')
        expected = results[first]
        scale = expected.abs().max()
        differences = {
            name: float((result - expected).abs().max() / scale)
            for name, result in results.items()
        }
        print_values(f'relative difference of the {title}', differences)


if __name__ == '__main__':
    main()
