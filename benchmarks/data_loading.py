"""Training images per second: from PNG files, from memory, with and without workers.

python benchmarks/data_loading.py --workers 0 2
"""

import tempfile
import time
from pathlib import Path

import numpy as np
from latent_cache import draw_images
from measure import make_parser, print_values, set_up
from mmcv.transforms import RandomFlip
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from mmadm.datasets import (
    CIFAR10Images,
    ImageDataset,
    SeededDataset,
    SeededInfiniteSampler,
)
from mmadm.datasets.transforms import LoadImages, PackDiffusionInputs, RandomCrop


class InMemory(CIFAR10Images):
    """The dataset of CIFAR-10, with random images: 32 x 32, uint8."""

    def load_data_list(self) -> list[dict]:
        """A thousand images."""
        images = np.random.default_rng(0).integers(0, 256, (1000, 32, 32, 3), np.uint8)
        return [dict(img=image, img_shape=(32, 32)) for image in images]


def images_per_second(
    dataset: SeededDataset, workers: int, batch_size: int, batches: int
) -> float:
    """Images per second, after the first batch."""
    loader = DataLoader(
        dataset,
        batch_size,
        sampler=SeededInfiniteSampler(dataset, seed=0),
        num_workers=workers,
        collate_fn=pseudo_collate,
    )
    stream = iter(loader)
    next(stream)
    begin = time.perf_counter()
    for _ in range(batches):
        next(stream)
    return batches * batch_size / (time.perf_counter() - begin)


def main() -> None:
    parser = make_parser(__doc__.splitlines()[0], repeats=3)
    parser.add_argument('--size', type=int, default=256, help='side of the PNG files')
    parser.add_argument('--workers', type=int, nargs='+', default=[0, 2])
    args = parser.parse_args()
    set_up(args)
    end = [RandomFlip(prob=0.5), PackDiffusionInputs()]
    crop = RandomCrop(size=args.size // 2)
    with tempfile.TemporaryDirectory() as folder:
        draw_images(Path(folder), 32, args.size)
        files = {
            cache: ImageDataset(
                data_root=folder, pipeline=[LoadImages(cache=cache), crop, *end]
            )
            for cache in (False, True)
        }
        sources = {
            f'{args.size}x{args.size} PNG, crop, flip': (files[False], 8),
            'the same, decoded once': (files[True], 8),
            'CIFAR-10 from memory, flip': (InMemory(pipeline=end), 128),
        }
        rates = {}
        for name, (dataset, batch_size) in sources.items():
            for workers in args.workers:
                speeds = [
                    images_per_second(dataset, workers, batch_size, 12)
                    for _ in range(args.repeats)
                ]
                rates[f'{name}, {workers} workers'] = float(np.median(speeds))
        print_values('images per second that pass', rates)


if __name__ == '__main__':
    main()
