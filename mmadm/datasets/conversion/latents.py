"""The first stage's answers to all training images, once and for all."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mmadm.datasets.cached_latents import flips, images_hash, prepared
from mmadm.datasets.seeded import SeededDataset
from mmadm.utils.latent_cache import LatentWriter

#: Images of which it is tested whether their preparation leaves anything to chance.
_TESTED = 8


def cache_latents(
    dataset: SeededDataset,
    encode: Callable[[Tensor], Tensor],
    first_stage: str,
    folder: str | Path,
    batch_size: int = 8,
    num_workers: int = 0,
    dtype: str = 'float32',
) -> Path:
    """Write the moments of all images, mirrored ones too where the pipeline flips.

    With a progress bar. What an interrupted run has written is kept: call it again.

    Args:
        dataset: the training data; without chance in how images are prepared, flips
            aside (their conditions are free).
        encode: images (B, C, H, W), uint8, to moments (B, 2 Z, h, w).
        first_stage: hash of the weights that ``encode`` uses.
        folder: where the cache goes.
        batch_size: images per call of ``encode``.
        num_workers: processes that read images ahead.
        dtype: how numbers are stored; 'float16' takes half the space.

    Returns:
        the folder.

    Raises:
        ValueError: chance decides on more than flips, images differ in size, or the
            folder has other latents in it.
    """
    from rich.progress import Progress

    check_preparation(dataset)
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


def check_preparation(dataset: SeededDataset) -> None:
    """Refuse pipelines whose images cannot be encoded in advance.

    Raises:
        ValueError: with the reason.
    """
    names = [type(t).__name__ for t in dataset.pipeline.transforms]
    for flip in flips(dataset):
        if flip.direction != 'horizontal':
            raise ValueError(
                'Latents are kept for an image and its mirror image, but RandomFlip '
                f"has direction={flip.direction!r}. Use direction='horizontal'."
            )
    for index in range(min(_TESTED, len(dataset))):
        first, second = (prepared(dataset, index, False, seed) for seed in (1, 2))
        if first.shape != second.shape or not torch.equal(first, second):
            raise ValueError(
                f'Image {index} is another one with another seed, so it cannot be '
                f'encoded in advance: the pipeline is {names}. Cut and resize images '
                'to one size in a fixed way (CenterCrop, Resize) for cached latents.'
            )


class _Variants(Dataset):
    """Each image as it is and, where the pipeline flips, mirrored."""

    def __init__(self, dataset: SeededDataset) -> None:
        self.dataset = dataset
        self.ways = (False, True) if flips(dataset) else (False,)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Tensor:
        """(variants, C, H, W), uint8."""
        return torch.stack([prepared(self.dataset, index, way) for way in self.ways])


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
