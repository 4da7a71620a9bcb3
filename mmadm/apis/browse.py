"""Look at what the pipeline hands to the model, and at how long it takes."""

import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.runner import Runner

from mmadm.registry import DATASETS
from mmadm.structures import DiffusionSample
from mmadm.utils import mix_seed, seed_everything
from mmadm.visualization import columns
from mmadm.visualization.images import captioned, row, to_rgb_array
from mmadm.visualization.visualizer import save

from .launch import merge_options


def dataloader_config(path: str, mode: str, options: dict | None = None) -> Config:
    """The dataloader of a config, which needs no model.

    Args:
        path: config file, also one of ``configs/_base_/datasets``.
        mode: 'train', 'val' or 'test'.
        options: as ``--cfg-options``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the config has no such dataloader.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f'Config not found: {path}. The shipped ones are in configs/.'
        )
    cfg = Config.fromfile(path)
    merge_options(cfg, options)
    if not cfg.get(f'{mode}_dataloader'):
        there = [key for key in cfg if key.endswith('_dataloader')]
        raise ValueError(
            f'{path} has no {mode}_dataloader, but {there}. Choose another --mode.'
        )
    return cfg[f'{mode}_dataloader']


def spread(length: int, number: int) -> list[int]:
    """Up to ``number`` different indices, evenly spread."""
    return np.unique(
        np.linspace(0, length - 1, min(number, length)).astype(int)
    ).tolist()


def picture_of(sample: DiffusionSample) -> np.ndarray:
    """What is known about a sample, side by side: condition, mask, truth."""
    shown = columns(sample)
    if 'mask' in sample:
        shown['mask (white = hole)'] = to_rgb_array(sample.mask * 255)
    return row([captioned(picture, caption) for caption, picture in shown.items()])


def browse(dataset: BaseDataset, out: str | Path, number: int) -> list[Path]:
    """Write pictures of some items as they leave the pipeline.

    Returns:
        the files.
    """
    written = []
    for index in spread(len(dataset), number):
        sample = _item(dataset, index)['data_samples']
        name = Path(sample.get('img_path', 'sample')).stem
        written.append(Path(out, f'{index:06d}_{name}.png'))
        save(picture_of(sample), written[-1])
    return written


def _item(dataset: BaseDataset, index: int) -> dict:
    seed_everything(mix_seed(0, index))
    return dataset[index]


def time_transforms(dataset: BaseDataset, number: int) -> dict[str, np.ndarray]:
    """Seconds of each step of the pipeline for some items, one process.

    Raises:
        ValueError: the data set has no pipeline to be timed.
    """
    seconds: dict[str, list[float]] = defaultdict(list)
    for index in spread(len(dataset), number):
        seed_everything(mix_seed(0, index))
        results = dataset.get_data_info(index)
        for transform in dataset.pipeline.transforms:
            begin = time.perf_counter()
            results = transform(results)
            seconds[type(transform).__name__].append(time.perf_counter() - begin)
    return {name: np.array(values) for name, values in seconds.items()}


def time_loader(cfg: Config, number: int) -> float:
    """Images per second of the dataloader as training uses it, after its first batch.

    Args:
        cfg: of the dataloader.
        number: at least so many images are counted.
    """
    batches = _endless(Runner.build_dataloader(cfg, seed=0))
    next(batches)
    begin, count = time.perf_counter(), 0
    while count < number:
        count += len(next(batches)['data_samples'])
    return count / (time.perf_counter() - begin)


def _endless(loader) -> Iterator[dict]:
    while True:
        yield from loader


def timing_report(seconds: dict[str, np.ndarray]) -> str:
    """A table: mean, median and share of each step, and images per second."""
    total = sum(seconds.values())
    lines = [f'{"step":24}{"mean ms":>10}{"median ms":>11}{"share":>8}']
    for name, values in {**seconds, 'all': total}.items():
        share = values.sum() / total.sum()
        lines.append(
            f'{name:24}{values.mean() * 1e3:10.2f}{np.median(values) * 1e3:11.2f}'
            f'{share:8.0%}'
        )
    rates = 1 / total.mean(), 1 / np.median(total)
    lines.append(
        f'one process: {rates[0]:.1f} images/s (median {rates[1]:.1f}), {len(total)} '
        'images'
    )
    return '\n'.join(lines)


def build(cfg: Config) -> BaseDataset:
    """The data set of a dataloader's config."""
    return DATASETS.build(cfg.dataset)
