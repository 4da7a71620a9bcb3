"""Latents of the training images, encoded once by the first stage."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mmadm.datasets.cached_latents import flips, images_hash, prepared
from mmadm.datasets.seeded import SeededDataset
from mmadm.utils.latent_cache import LatentWriter

from .conversion_utils import check_at_least

#: Number of images of which it is checked that their pipeline is not random.
_CHECKED = 8


def cache_latents(
    dataset: SeededDataset,
    encode: Callable[[Tensor], Tensor],
    first_stage: str,
    folder: str | Path,
    batch_size: int = 8,
    num_workers: int = 0,
    dtype: str = 'float32',
) -> Path:
    """Write the moments of all images, and of mirrored ones if the pipeline flips.

    With a progress bar. What an interrupted run has written is kept: call it again.

    Args:
        dataset: the training data. The images of its pipeline must not be random,
            except for flips; conditions may be.
        encode: images (B, C, H, W), uint8, to moments (B, 2 Z, h, w).
        first_stage: hash of the weights that ``encode`` uses.
        folder: where the cache goes.
        batch_size: images per call of ``encode``.
        num_workers: processes that read images ahead.
        dtype: of the stored numbers; 'float16' takes half the space.

    Returns:
        the folder.

    Raises:
        ValueError: images are random, damaged or of several sizes, moments are not
            finite, or the folder contains other latents.
    """
    from rich.progress import Progress

    check_at_least(1, batch_size=batch_size)
    check_at_least(0, num_workers=num_workers)
    if not isinstance(dataset, SeededDataset):
        raise ValueError(
            f'Latents of a {type(dataset).__name__} cannot be cached. Give the config '
            'of a training on images, without CachedLatents.'
        )
    check_pipeline(dataset)
    images = _Variants(dataset)
    shape = (len(dataset), *_encoded(encode, images[0][None]).shape[1:])
    record = dict(first_stage=first_stage, images=images_hash(dataset))
    writer = LatentWriter(folder, record, shape, dtype)
    missing = torch.utils.data.Subset(images, range(writer.done, len(dataset)))
    loader = DataLoader(
        missing, batch_size, num_workers=num_workers, collate_fn=_same_size
    )
    with Progress() as progress:
        bar = progress.add_task(
            'Encoding images', total=len(dataset), completed=writer.done
        )
        for batch in loader:
            writer.append(_encoded(encode, batch).cpu().numpy())
            progress.update(bar, completed=writer.done)
    writer.finish()
    return Path(folder)


def check_pipeline(dataset: SeededDataset) -> None:
    """Check that the images of a pipeline can be encoded in advance.

    Raises:
        ValueError: with the reason.
    """
    names = [type(t).__name__ for t in dataset.pipeline.transforms]
    for flip in flips(dataset):
        if flip.direction != 'horizontal':
            raise ValueError(
                'Latents are stored for an image and its mirror image, but RandomFlip '
                f"has direction={flip.direction!r}. Use direction='horizontal'."
            )
    for index in np.unique(np.linspace(0, len(dataset) - 1, _CHECKED, dtype=int)):
        first, second = (prepared(dataset, int(index), False, seed) for seed in (1, 2))
        if first.shape != second.shape or not torch.equal(first, second):
            raise ValueError(
                f'Image {index} differs with another seed, so it cannot be encoded in '
                f'advance: the pipeline is {names}. Crop and resize images to one size '
                'in a fixed way (CenterCrop, Resize) for cached latents.'
            )


class _Variants(Dataset):
    """Each image and, where the pipeline flips, its mirror image."""

    def __init__(self, dataset: SeededDataset) -> None:
        self.dataset = dataset
        self.mirrored = (False, True) if flips(dataset) else (False,)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Tensor:
        """(variants, C, H, W), uint8."""
        return torch.stack([prepared(self.dataset, index, m) for m in self.mirrored])


def _same_size(images: list[Tensor]) -> Tensor:
    sizes = {tuple(image.shape[-2:]) for image in images}
    if len(sizes) > 1:
        raise ValueError(
            f'Latents of one cache have one size, but the images have {sorted(sizes)}. '
            'Add a CenterCrop or a Resize to the pipeline.'
        )
    return torch.stack(images)


@torch.no_grad()
def _encoded(encode: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """(B, variants, C, H, W) to moments (B, variants, 2 Z, h, w)."""
    return encode(images.flatten(0, 1)).float().unflatten(0, images.shape[:2])
