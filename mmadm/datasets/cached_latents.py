"""Training on latents that a frozen first stage has encoded in advance."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from mmcv.transforms import RandomFlip
from torch import Tensor
from torch.utils.data import Dataset

from mmadm.registry import DATASETS, build
from mmadm.structures import DiffusionSample
from mmadm.utils import seed_host
from mmadm.utils.latent_cache import LatentCache

from .content_hash import file_hashes
from .seeded import SeededDataset, SeededIndex

#: Number of images that are hashed after the pipeline.
_HASHED = 4
_IMAGE_KEYS = {'img', 'img_path'}
_NO_SOURCES = {'sample_idx', 'img_id'}


@DATASETS.register_module()
class CachedLatents(Dataset):
    """A dataset whose images are replaced by their moments in the first stage.

    So the first stage does not encode each image again in each epoch. Seeds, flips and
    conditions are those of the wrapped dataset, and training has the same result.

    The files of the images are read once, when this is built: they must have the
    content that the latents were made from. After that, only conditions are read.

    Args:
        dataset: the dataset that the latents were made from.
        folder: written by ``tools/dataset_converters/cache_latents.py``.

    Raises:
        FileNotFoundError: there are no latents in the folder, or not all.
        ValueError: they were made from other images, or are damaged.
    """

    def __init__(self, dataset: dict | SeededDataset, folder: str) -> None:
        self.dataset: SeededDataset = build(DATASETS, dataset)
        self.cache = LatentCache(folder)
        self.dataset.full_init()
        if self.cache.record['images'] != images_hash(self.dataset):
            raise ValueError(
                f'The latents in {folder} were made from other images than those of '
                'the training data: files, their content, their order or the pipeline '
                'differ. Remove the folder, and make them again with '
                'tools/dataset_converters/cache_latents.py.'
            )
        self.reads_images = self.dataset.pipeline.transforms[-1].condition is not None

    @property
    def metainfo(self) -> dict:
        """Metadata of the dataset, and the hash of the first stage's weights."""
        first_stage = self.cache.record['first_stage']
        return dict(self.dataset.metainfo, first_stage=first_stage)

    def full_init(self) -> None:
        """Does nothing: the dataset is loaded when this is built."""

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, idx: SeededIndex) -> dict:
        """``inputs`` with 'moments' (2 Z, h, w), and 'condition' if there is one."""
        item = self.dataset[idx] if self.reads_images else self._without_image(idx)
        sample = item['data_samples']
        moments = self.cache[sample.sample_idx, sample.get('flip', False)]
        item['inputs'].pop('image', None)
        item['inputs']['moments'] = torch.from_numpy(moments)
        return item

    def _without_image(self, idx: SeededIndex) -> dict:
        """Seed and flip as drawn by the pipeline, without reading the image."""
        seed_host(idx.seed)
        results = dict(img=np.zeros((1, 1, 3), np.uint8), img_shape=(1, 1), flip=False)
        for flip in flips(self.dataset):
            results = flip(results)
        meta = dict(sample_idx=idx.index, seed=idx.seed, flip=results['flip'])
        return dict(inputs={}, data_samples=DiffusionSample(metainfo=meta))


def flips(dataset: SeededDataset) -> list[RandomFlip]:
    """The random flips in the pipeline of a dataset."""
    return [t for t in dataset.pipeline.transforms if isinstance(t, RandomFlip)]


def prepared(
    dataset: SeededDataset, index: int, mirrored: bool, seed: int = 0
) -> Tensor:
    """Image ``index`` after the pipeline, mirrored or not, (C, H, W) uint8.

    Raises:
        ValueError: the image is damaged; in training another one would replace it.
    """
    chosen = flips(dataset)
    usual = [flip.prob for flip in chosen]
    for flip in chosen:
        flip.prob = float(mirrored)
    try:
        item = dataset[SeededIndex(index, seed)]
    finally:
        for flip, prob in zip(chosen, usual):
            flip.prob = prob
    if broken := item['data_samples'].get('broken'):
        raise ValueError(f'No latents of image {index}. {broken[0]}')
    return item['inputs']['image']


def images_hash(dataset: SeededDataset) -> str:
    """SHA-256 over the content of the images, and over some after the pipeline.

    Of image files the names and bytes count, and so do the files of maps where maps are
    encoded. Folders do not, so that data may move.
    """
    image_only = dataset.pipeline.transforms[-1].image == 'img'
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    sources = [_sources(info, image_only) for info in infos]
    paths = [v for source in sources for v in source if isinstance(v, Path)]
    contents = dict(zip(paths, file_hashes(paths)))

    digest = hashlib.sha256()
    for source in sources:
        for value in source:
            if isinstance(value, Path):
                digest.update(f'{value.name} {contents[value]} '.encode())
            elif isinstance(value, np.ndarray):
                digest.update(np.ascontiguousarray(value).tobytes())
            else:
                digest.update(f'{value!r} '.encode())
    for index in np.linspace(0, len(dataset) - 1, _HASHED, dtype=int):
        digest.update(prepared(dataset, int(index), False).numpy().tobytes())
    return digest.hexdigest()


def _sources(info: dict, image_only: bool) -> list[Path | np.ndarray | object]:
    """Files, arrays and annotations that the encoded image of an entry is made of."""
    keys = _IMAGE_KEYS & info.keys() if image_only else info.keys() - _NO_SOURCES
    return [
        Path(info[key]) if key.endswith('_path') else info[key] for key in sorted(keys)
    ]
