"""Unconditional sampling against other libraries, at equal parameters and steps.

    python -m pip install diffusers denoising-diffusion-pytorch
    python benchmarks/peer_sampling.py
    python benchmarks/peer_sampling.py --device cuda --width 160 --batch-size 256

diffusers' ``UNet2DModel`` with its DDIM scheduler, denoising-diffusion-pytorch's
``Unet`` with its DDIM, our single-decoder head with the same rule, and ADM with two
decoders, both prepared as by ``ADMInferencer``. All have the width whose number of
parameters is nearest to that of ``UNet2DModel``; levels, blocks, full attention and
steps are equal. Libraries that are not installed are left out.
"""

import argparse
import copy
from collections.abc import Callable

import torch
from measure import (
    leave_out,
    make_parser,
    operations,
    print_table,
    print_values,
    set_up,
    take_turns,
)
from torch import Tensor, nn

from mmadm.diffusion import ADMSampler, Preconditioner, VPProcess
from mmadm.models import ADM, DualDecoderUNet, SingleDecoderUNet
from mmadm.structures import DiffusionSample
from mmadm.utils import prepare_inference


class Diffusers:
    """diffusers' sampling loop, without progress bar and conversion to images."""

    def __init__(self, args: argparse.Namespace) -> None:
        from diffusers import DDIMScheduler, UNet2DModel

        blocks = ('DownBlock2D', 'AttnDownBlock2D', 'AttnDownBlock2D', 'DownBlock2D')
        self.unet = UNet2DModel(
            block_out_channels=[args.width * mult for mult in (1, 2, 2, 2)],
            layers_per_block=args.blocks,
            down_block_types=blocks,
            up_block_types=[name.replace('Down', 'Up') for name in blocks],
            attention_head_dim=64,
            resnet_time_scale_shift='scale_shift',
        )
        self.unet.to(args.device).eval()
        self.scheduler = DDIMScheduler()

    def sample(self, number: int, size: int, steps: int) -> Tensor:
        """(number, 3, size, size)."""
        x = torch.randn(number, 3, size, size, device=self.unet.device)
        self.scheduler.set_timesteps(steps)
        for t in self.scheduler.timesteps:
            noise = self.unet(x, t, return_dict=False)[0]
            x = self.scheduler.step(noise, t, x, return_dict=False)[0]
        return x


class DenoisingDiffusionPytorch:
    """denoising-diffusion-pytorch's network and its DDIM; two blocks per level."""

    def __init__(self, args: argparse.Namespace, parameters: int) -> None:
        from denoising_diffusion_pytorch import GaussianDiffusion, Unet
        from denoising_diffusion_pytorch import denoising_diffusion_pytorch as module

        module.tqdm = lambda times, **_: times  # no progress bar

        def make(width: int) -> nn.Module:
            attention = (False, True, True, False)
            return Unet(width, dim_mults=(1, 2, 2, 2), full_attn=attention)

        self.unet = make(_nearest(make, parameters))
        self.diffusion = GaussianDiffusion(
            self.unet, image_size=args.size, sampling_timesteps=args.steps
        )
        self.diffusion.to(args.device).eval()

    def sample(self, number: int, size: int, steps: int) -> Tensor:
        """(number, 3, size, size); size and steps are fixed at the construction."""
        return self.diffusion.sample(number)


class Ours:
    """One of our models with about as many parameters."""

    def __init__(
        self, args: argparse.Namespace, parameters: int, head: type, **options
    ) -> None:
        def make(width: int) -> nn.Module:
            return head(base_channels=width, num_blocks=args.blocks)

        self.unet = make(_nearest(make, parameters))
        self.model = ADM(head=self.unet, **options)
        prepare_inference(self.model).to(args.device)

    def sample(self, number: int, size: int, steps: int) -> Tensor:
        """(number, 3, size, size)."""
        self.model.test_cfg['num_steps'] = steps
        samples = [DiffusionSample(metainfo=dict(sample_idx=i)) for i in range(number)]
        return self.model.sample((size, size), samples)


def _nearest(make: Callable[[int], nn.Module], parameters: int) -> int:
    """The width with the nearest number of parameters."""

    def difference(width: int) -> float:
        try:
            with torch.device('meta'):
                return abs(count(make(width)) - parameters)
        except ValueError:  # a width that is no multiple of the attention heads
            return float('inf')

    # About quadratic in the width.
    with torch.device('meta'):
        guess = 16 * round(4 * (parameters / count(make(64))) ** 0.5)
    return min(range(max(8, guess - 16), guess + 20, 4), key=difference)


def count(unet: nn.Module) -> int:
    return sum(parameter.numel() for parameter in unet.parameters())


def make_variants(args: argparse.Namespace) -> dict:
    """All samplers whose library is installed; the first is what others are against."""
    variants = {}
    parameters = count(DualDecoderUNet(base_channels=args.width))
    try:
        variants['UNet2DModel, DDIM'] = peer = Diffusers(args)
        variants['the same, channels last'] = faster = copy.deepcopy(peer)
        faster.unet.to(memory_format=torch.channels_last)
        parameters = count(peer.unet)
    except ImportError as error:
        leave_out('diffusers', error)
    try:
        name = 'denoising-diffusion-pytorch, DDIM'
        variants[name] = DenoisingDiffusionPytorch(args, parameters)
    except ImportError as error:
        leave_out('denoising-diffusion-pytorch', error)
    ddim = dict(
        process=dict(type=VPProcess),
        preconditioner=dict(type=Preconditioner, predicts='eps'),
        sampler=dict(type=ADMSampler, eta=0.0, clip=1.0),
    )
    variants['one decoder, DDIM'] = Ours(args, parameters, SingleDecoderUNet, **ddim)
    variants['two decoders, ADM'] = Ours(args, parameters, DualDecoderUNet)
    return variants


@torch.no_grad()
def main() -> None:
    parser = make_parser(__doc__.splitlines()[0], repeats=5)
    parser.add_argument('--width', type=int, default=96, help='multiple of 32')
    parser.add_argument('--blocks', type=int, default=2, help='per level')
    parser.add_argument('--size', type=int, default=32, help='side of the images')
    parser.add_argument('--batch-size', type=int, default=1)
    parser.add_argument('--steps', type=int, default=10, help='function evaluations')
    args = parser.parse_args()
    set_up(args)

    variants = make_variants(args)
    x = torch.randn(1, 3, args.size, args.size, device=args.device)
    t = torch.ones(1, device=args.device)
    sizes = {name: count(v.unet) / 1e6 for name, v in variants.items()}
    print_values('parameters, in 1e6', sizes)
    macs = {
        name: operations(lambda v=v: v.unet(x, t)) / 2e9 for name, v in variants.items()
    }
    print_values('multiply-accumulates of a step, in 1e9', macs)

    work = args.batch_size, args.size, args.steps
    timings = take_turns(
        {name: lambda v=v: v.sample(*work) for name, v in variants.items()},
        args.repeats,
        args.device,
    )
    title = f'batch of {args.batch_size}, {args.size}x{args.size}, {args.steps} steps'
    print_table(timings, next(iter(variants)), title)


if __name__ == '__main__':
    main()
