"""Shows and times the samples that a data pipeline produces."""

import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.runner import Runner

from mmadm.checkpoints import find_config
from mmadm.registry import DATASETS
from mmadm.structures import DiffusionSample
from mmadm.utils import mix_seed, seed_everything
from mmadm.visualization import columns
from mmadm.visualization.images import captioned_row, to_rgb_array
from mmadm.visualization.visualizer import save

from .launch import merge_options


def dataloader_config(path: str, mode: str, options: dict | None = None) -> Config:
    """The dataloader config of a config file; the file needs no model.

    Args:
        path: config file, also one of ``configs/_base_/datasets``, or the name of a
            shipped config.
        mode: 'train', 'val' or 'test'.
        options: the parsed ``--cfg-options``.

    Raises:
        FileNotFoundError: there is no such file or name.
        ValueError: the config has no such dataloader.
    """
    cfg = Config.fromfile(find_config(path))
    merge_options(cfg, options)
    if not cfg.get(f'{mode}_dataloader'):
        found = [key for key in cfg if key.endswith('_dataloader')]
        raise ValueError(
            f'{path} has no {mode}_dataloader; it has {found}. Choose another --mode.'
        )
    return cfg[f'{mode}_dataloader']


def evenly_spaced(length: int, number: int) -> list[int]:
    """Up to ``number`` different indices of a sequence, evenly spaced."""
    return np.unique(
        np.linspace(0, length - 1, min(number, length)).astype(int)
    ).tolist()


def draw_sample(sample: DiffusionSample) -> np.ndarray:
    """Condition, mask and ground truth of a sample, side by side."""
    shown = columns(sample)
    if 'mask' in sample:
        shown['mask (white = hole)'] = to_rgb_array(sample.mask * 255)
    return captioned_row(shown)


def browse(dataset: BaseDataset, out: str | Path, number: int) -> list[Path]:
    """Draw some samples as they leave the pipeline, and write them as PNG.

    Returns:
        the paths of the files.
    """
    written = []
    for index in evenly_spaced(len(dataset), number):
        sample = _item(dataset, index)['data_samples']
        name = Path(sample.get('img_path', 'sample')).stem
        written.append(Path(out, f'{index:06d}_{name}.png'))
        save(draw_sample(sample), written[-1])
    return written


def _item(dataset: BaseDataset, index: int) -> dict:
    seed_everything(mix_seed(0, index))
    return dataset[index]


def time_transforms(dataset: BaseDataset, number: int) -> dict[str, np.ndarray]:
    """Seconds that each transform of the pipeline takes for some samples.

    Raises:
        ValueError: the data set has no pipeline.
    """
    seconds: dict[str, list[float]] = defaultdict(list)
    for index in evenly_spaced(len(dataset), number):
        seed_everything(mix_seed(0, index))
        results = dataset.get_data_info(index)
        for transform in dataset.pipeline.transforms:
            begin = time.perf_counter()
            results = transform(results)
            seconds[type(transform).__name__].append(time.perf_counter() - begin)
    return {name: np.array(values) for name, values in seconds.items()}


def time_loader(cfg: Config, number: int) -> float:
    """Images per second of a dataloader; its first batch is not counted.

    Args:
        cfg: config of the dataloader.
        number: minimum number of images to load.
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
    """A table of mean, median and fraction of each transform, and images per second."""
    total = sum(seconds.values())
    lines = [f'{"transform":24}{"mean ms":>10}{"median ms":>11}{"fraction":>10}']
    for name, values in {**seconds, 'all': total}.items():
        fraction = values.sum() / total.sum()
        lines.append(
            f'{name:24}{values.mean() * 1e3:10.2f}{np.median(values) * 1e3:11.2f}'
            f'{fraction:10.0%}'
        )
    mean, median = 1 / total.mean(), 1 / np.median(total)
    lines.append(
        f'one process: {mean:.1f} images/s (median {median:.1f}), {len(total)} images'
    )
    return '\n'.join(lines)


def build(cfg: Config) -> BaseDataset:
    """The data set of a dataloader config."""
    return DATASETS.build(cfg.dataset)
