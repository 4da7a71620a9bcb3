"""Unconditional sampling against diffusers, with equal numbers of parameters and steps.

    python -m pip install diffusers
    python benchmarks/diffusers_sampling.py
    python benchmarks/diffusers_sampling.py --device cuda --width 160 --batch-size 256

diffusers' ``UNet2DModel`` with its DDIM scheduler, our single-decoder head with the
same rule, and ADM with two decoders, both prepared as by ``ADMInferencer``. Our heads
have the width whose number of parameters is nearest to that of ``UNet2DModel``; blocks,
attention and steps are equal.
"""

import copy

import torch
from measure import make_parser, print_table, set_up, take_turns
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mmadm.diffusion import ADMSampler, Preconditioner, VPProcess
from mmadm.models import ADM, DualDecoderUNet, SingleDecoderUNet
from mmadm.structures import DiffusionSample
from mmadm.utils import prepare_inference

try:
    from diffusers import DDIMScheduler, UNet2DModel
except ImportError as error:
    raise SystemExit(
        'This benchmark compares with diffusers, which is not installed here '
        f'({error}). Install it: python -m pip install diffusers'
    ) from error


class Peer:
    """diffusers' sampling loop, without progress bar and conversion to images."""

    def __init__(self, width: int, blocks: int, device: str) -> None:
        self.unet = UNet2DModel(
            block_out_channels=(width, 2 * width, 2 * width, 2 * width),
            layers_per_block=blocks,
            down_block_types=(
                'DownBlock2D',
                'AttnDownBlock2D',
                'AttnDownBlock2D',
                'DownBlock2D',
            ),
            up_block_types=(
                'UpBlock2D',
                'AttnUpBlock2D',
                'AttnUpBlock2D',
                'UpBlock2D',
            ),
            attention_head_dim=64,
            resnet_time_scale_shift='scale_shift',
        )
        self.unet.to(device).eval()
        self.scheduler = DDIMScheduler()

    def sample(self, count: int, size: int, steps: int) -> Tensor:
        """(count, 3, size, size)."""
        x = torch.randn(count, 3, size, size, device=self.unet.device)
        self.scheduler.set_timesteps(steps)
        for t in self.scheduler.timesteps:
            noise = self.unet(x, t, return_dict=False)[0]
            x = self.scheduler.step(noise, t, x, return_dict=False)[0]
        return x


class Ours:
    """One of our models with about as many parameters."""

    def __init__(self, parameters: int, blocks: int, device: str, **options) -> None:
        head = dict(options.pop('head'), num_blocks=blocks)
        self.model = ADM(head=_nearest(head, parameters), **options)
        prepare_inference(self.model).to(device)
        self.unet = self.model.head

    def sample(self, count: int, size: int, steps: int) -> Tensor:
        """(count, 3, size, size)."""
        self.model.test_cfg['num_steps'] = steps
        samples = [DiffusionSample(metainfo=dict(sample_idx=i)) for i in range(count)]
        return self.model.sample((size, size), samples)


def _nearest(head: dict, parameters: int) -> dict:
    """``head`` in the width with the nearest number of parameters."""

    def difference(width: int) -> float:
        try:
            with torch.device('meta'):
                made = dict(head)
                unet = made.pop('type')(base_channels=width, **made)
        except ValueError:  # a width that is no multiple of the attention heads
            return float('inf')
        return abs(count(unet) - parameters)

    return dict(head, base_channels=min(range(16, 260, 4), key=difference))


def count(unet: nn.Module) -> int:
    return sum(parameter.numel() for parameter in unet.parameters())


def main() -> None:
    parser = make_parser(__doc__.splitlines()[0], repeats=5)
    parser.add_argument('--width', type=int, default=96, help='multiple of 32')
    parser.add_argument('--blocks', type=int, default=2, help='per level')
    parser.add_argument('--size', type=int, default=32, help='side of the images')
    parser.add_argument('--batch-size', type=int, default=1)
    parser.add_argument('--steps', type=int, default=10, help='function evaluations')
    args = parser.parse_args()
    set_up(args)

    peer = Peer(args.width, args.blocks, args.device)
    shared = (count(peer.unet), args.blocks, args.device)
    ddim = dict(
        process=dict(type=VPProcess),
        preconditioner=dict(type=Preconditioner, predicts='eps'),
        sampler=dict(type=ADMSampler, eta=0.0, clip=1.0),
    )
    faster_peer = copy.deepcopy(peer)
    faster_peer.unet.to(memory_format=torch.channels_last)
    variants = {
        'UNet2DModel, DDIM': peer,
        'the same, channels last': faster_peer,
        'one decoder, DDIM': Ours(*shared, head=dict(type=SingleDecoderUNet), **ddim),
        'two decoders, ADM': Ours(*shared, head=dict(type=DualDecoderUNet)),
    }
    for name, variant in variants.items():
        x = torch.randn(1, 3, args.size, args.size, device=args.device)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            variant.unet(x, torch.ones(1, device=args.device))
        macs = counter.get_total_flops() / 2e9
        parameters = count(variant.unet) / 1e6
        print(f'{name}: {parameters:.2f} M parameters, {macs:.3f} GMACs per step')

    work = args.batch_size, args.size, args.steps
    with torch.no_grad():
        timings = take_turns(
            {name: lambda v=v: v.sample(*work) for name, v in variants.items()},
            args.repeats,
            args.device,
        )
    print_table(timings, 'UNet2DModel, DDIM')


if __name__ == '__main__':
    main()
