"""Images that a frozen first stage has encoded before the training."""

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

from .seeded import SeededDataset, SeededIndex


@DATASETS.register_module()
class CachedLatents(Dataset):
    """A data set whose images are replaced by the first stage's moments of them.

    So the first stage need not encode each image again in each epoch. Seeds, flips and
    conditions are those of the wrapped data set: training goes as it would without.
    Without a condition no image is read at all.

    Args:
        dataset: the data set that the latents were made from.
        folder: where ``tools/dataset_converters/cache_latents.py`` wrote them.
    """

    def __init__(self, dataset: dict | SeededDataset, folder: str) -> None:
        self.dataset: SeededDataset = build(DATASETS, dataset)
        self.cache = LatentCache(folder)
        self.dataset.full_init()
        if self.cache.record['images'] != images_hash(self.dataset):
            raise ValueError(
                f'The latents in {folder} were made from other images than those of '
                'the training data (or from another order of them). Make them again '
                'with tools/dataset_converters/cache_latents.py.'
            )
        self.reads_images = self.dataset.pipeline.transforms[-1].condition is not None

    @property
    def metainfo(self) -> dict:
        """That of the data set, and ``first_stage``: the hash of its weights."""
        first_stage = self.cache.record['first_stage']
        return dict(self.dataset.metainfo, first_stage=first_stage)

    def full_init(self) -> None:
        """Nothing is left to do."""

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, idx: SeededIndex) -> dict:
        """``inputs`` with 'moments', (2 Z, h, w), and the condition if there is one."""
        item = self.dataset[idx] if self.reads_images else self._without_image(idx)
        sample = item['data_samples']
        moments = self.cache[sample.sample_idx, sample.get('flip', False)]
        item['inputs'].pop('image', None)
        item['inputs']['moments'] = torch.from_numpy(moments)
        return item

    def _without_image(self, idx: SeededIndex) -> dict:
        """What the pipeline says of an image, without the image."""
        seed_host(idx.seed)
        results = dict(img=np.zeros((1, 1, 3), np.uint8), img_shape=(1, 1), flip=False)
        for flip in flips(self.dataset):
            results = flip(results)
        meta = dict(sample_idx=idx.index, seed=idx.seed, flip=results['flip'])
        return dict(inputs={}, data_samples=DiffusionSample(metainfo=meta))


def flips(dataset: SeededDataset) -> list[RandomFlip]:
    """The random flips of a data set's pipeline."""
    return [t for t in dataset.pipeline.transforms if isinstance(t, RandomFlip)]


def prepared(
    dataset: SeededDataset, index: int, mirrored: bool, seed: int = 0
) -> Tensor:
    """Image ``index`` after the pipeline, flipped or not as told, (C, H, W) uint8."""
    chosen = flips(dataset)
    usual = [flip.prob for flip in chosen]
    for flip in chosen:
        flip.prob = float(mirrored)
    try:
        return dataset[SeededIndex(index, seed)]['inputs']['image']
    finally:
        for flip, prob in zip(chosen, usual):
            flip.prob = prob


def images_hash(dataset: SeededDataset) -> str:
    """SHA-256 over what tells the images and how they are prepared.

    Over file names and sizes, where images are files, else over the images; and over
    the first image after the pipeline. Folders do not count, so that data may move.
    """
    digest = hashlib.sha256(prepared(dataset, 0, False).numpy().tobytes())
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        if 'img_path' in info:
            path = Path(info['img_path'])
            digest.update(f'{path.name} {path.stat().st_size} '.encode())
        else:
            digest.update(np.ascontiguousarray(info['img']).tobytes())
    return digest.hexdigest()
