"""Time of a training step on latents: images encoded in each step, or cached latents.

    python benchmarks/latent_cache.py
    python benchmarks/latent_cache.py --device cuda --paper

A step is timed from the image files to the updated weights.
"""

import tempfile
from pathlib import Path

import numpy as np
from measure import make_parser, print_table, set_up, take_turns
from mmcv.transforms import RandomFlip
from mmengine.dataset import pseudo_collate
from mmengine.optim import OptimWrapper
from PIL import Image
from torch import Tensor
from torch.optim import AdamW

from mmadm.datasets import CachedLatents, ImageDataset, SeededIndex
from mmadm.datasets.conversion.latents import cache_latents
from mmadm.datasets.transforms import LoadImages, PackDiffusionInputs
from mmadm.models import ADM, DiffusionPreprocessor, DualDecoderUNet, KLAutoencoder
from mmadm.utils.latent_cache import weights_hash


def draw_images(folder: Path, count: int, size: int) -> None:
    """Smooth images with some noise, as PNG."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 200, size)
    for number in range(count):
        noise = rng.integers(0, 56, (size, size, 3))
        image = np.minimum(ramp[:, None, None], ramp[None, :, None]) + noise
        Image.fromarray(image.astype(np.uint8)).save(folder / f'{number:03d}.png')


def make_model(args) -> ADM:
    stage = dict(type=KLAutoencoder, base_channels=args.stage_channels)
    preprocessor = dict(type=DiffusionPreprocessor, size_divisor=4)
    head = dict(
        type=DualDecoderUNet,
        base_channels=args.base_channels,
        attention_levels=(2, 3),
    )
    model = ADM(head=head, first_stage=stage, data_preprocessor=preprocessor)
    return model.to(args.device)


def main() -> None:
    parser = make_parser(__doc__.splitlines()[0], repeats=5)
    parser.add_argument('--base-channels', type=int, default=32)
    parser.add_argument('--stage-channels', type=int, default=32)
    parser.add_argument('--size', type=int, default=128, help='side of the images')
    parser.add_argument('--batch-size', type=int, default=2)
    parser.add_argument('--paper', action='store_true', help='CelebA-HQ-256, batch 48')
    args = parser.parse_args()
    if args.paper:
        args.base_channels = args.stage_channels = 128
        args.size, args.batch_size = 256, 48
    set_up(args)
    model = make_model(args)
    optimizer = AdamW(model.head.parameters(), lr=0.0, fused=True)
    wrapper = OptimWrapper(optimizer=optimizer)
    stage = model.first_stage

    def encode(images: Tensor) -> Tensor:
        return stage.moments(images.to(args.device).float() / 127.5 - 1)

    with tempfile.TemporaryDirectory() as name:
        photos, folder = Path(name, 'photos'), Path(name, 'latents')
        photos.mkdir()
        draw_images(photos, args.batch_size, args.size)
        pipeline = [LoadImages(), RandomFlip(prob=0.5), PackDiffusionInputs()]
        images = ImageDataset(data_root=str(photos), pipeline=pipeline)
        cache_latents(images, encode, weights_hash(stage), folder)
        sources = {'encoded': images, 'cached': CachedLatents(images, str(folder))}
        losses = {}

        def step(name: str) -> None:
            indices = range(args.batch_size)
            data = pseudo_collate([sources[name][SeededIndex(i, i)] for i in indices])
            losses[name] = model.train_step(data, wrapper)['loss'].item()

        steps = {name: (lambda name=name: step(name)) for name in sources}
        timings = take_turns(steps, args.repeats, args.device)
    print_table(
        timings, 'encoded', f'training step, latents of {args.size}x{args.size}'
    )
    encoded, cached = losses.values()
    print(f'relative difference of the loss: {abs(encoded - cached) / encoded:.1e}')


if __name__ == '__main__':
    main()
