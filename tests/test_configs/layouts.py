"""Small data sets in the official layouts, drawn or from real files."""

import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from mmadm.datasets.coco_masks import encode
from mmadm.datasets.mask_file import write_masks
from tests.conftest import draw_photo

#: Images of each set.
COUNT = 3


def blob(seed: int, height: int, width: int) -> np.ndarray:
    """A bright disc, (H, W), 0 or 255."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    top, left = rng.uniform(0.3, 0.7, 2) * (height, width)
    return np.where(np.hypot(y - top, x - left) < height / 4, 255, 0).astype(np.uint8)


def some(folder: Path | None, pattern: str) -> Iterator[Path | None]:
    """Real files, or nothing for each."""
    files = sorted(folder.glob(pattern))[:COUNT] if folder else [None] * COUNT
    assert len(files) == COUNT, f'{folder}/{pattern}'
    yield from files


def image_at(path: Path | None, seed: int, size: tuple[int, int] | None) -> Image.Image:
    """A real or a drawn image; ``size`` (H, W), None for that of the file."""
    if path is None:
        return Image.fromarray(draw_photo(seed, *(size or (96, 120))))
    image = Image.open(path).convert('RGB')
    return image if size is None else image.resize(size[::-1])


def save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def cifar10(data: Path, real: Path | None) -> None:
    """Python batches."""
    folder = data / 'cifar10' / 'cifar-10-batches-py'
    folder.mkdir(parents=True)
    if real:
        grid = np.asarray(Image.open(real / 'cifar10_webp' / 'train_00.webp'))
        images = grid.reshape(25, 32, 40, 32, 3).transpose(0, 2, 4, 1, 3)
        images = images.reshape(-1, 3072)[:COUNT]
    else:
        images = np.random.RandomState(0).randint(0, 256, (COUNT, 3072), np.uint8)
    for number in range(1, 6):
        content = pickle.dumps({b'data': np.ascontiguousarray(images)}, protocol=2)
        (folder / f'data_batch_{number}').write_bytes(content)
    (folder / 'test_batch').write_bytes(content)


def celeba_hq(data: Path, real: Path | None) -> None:
    """Images of one size, the lists and the masks of inpainting."""
    root = data / 'celeba_hq'
    names = [f'{i:05d}' for i in range(COUNT)]
    files = some(real and real / 'celeba_hq' / 'train', '*.jpg')
    for i, (name, path) in enumerate(zip(names, files)):
        save(image_at(path, i, (64, 64)), root / 'images' / f'{name}.png')
    masks = {name: encode(blob(i, 64, 64) // 255) for i, name in enumerate(names)}
    for split in ('train', 'val', 'test'):
        list_file = root / 'splits' / f'lama_{split}.txt'
        list_file.parent.mkdir(exist_ok=True)
        list_file.write_text(''.join(f'{name}.png\n' for name in names))
        (root / 'masks').mkdir(exist_ok=True)
        write_masks(root / 'masks' / f'lama_{split}_medium.json', masks)


def div2k(data: Path, real: Path | None) -> None:
    """High-resolution images, the test's a little cut."""
    for split, folder in (('train', 'DIV2K_train_HR_sub'), ('valid', 'DIV2K_valid_HR')):
        count = COUNT if split == 'train' else 2
        files = real and sorted((real / 'DIV2K' / f'DIV2K_{split}_HR').glob('*.png'))
        for i in range(count):
            image = image_at(files and files[i], i, None)
            image = image.crop((0, 0, 120, 98))
            save(image, data / 'DIV2K' / folder / f'{i:04d}.png')


def sr_toy(data: Path, real: Path | None) -> None:
    """DIV2K to train, and images of Set5's layout to test."""
    div2k(data, real)
    files = real and sorted((real / 'SR_benchmark' / 'Set5' / 'HR').glob('*.png'))
    for i in range(2):
        image = image_at(files and files[i], i, None).crop((0, 0, 61, 50))
        save(image, data / 'SR_benchmark' / 'Set5' / 'HR' / f'{i}.png')


def duts(data: Path, real: Path | None) -> None:
    """Images and masks of several sizes."""
    for split in ('TR', 'TE'):
        root = Path('DUTS', f'DUTS-{split}')
        files = some(real and real / root / f'DUTS-{split}-Image', '*.jpg')
        for i, path in enumerate(files):
            image = image_at(path, i, None)
            name = path.stem if path else f'image_{i}'
            save(image, data / root / f'DUTS-{split}-Image' / f'{name}.jpg')
            mask = Image.fromarray(blob(i, image.height, image.width))
            if path:
                mask = Image.open(
                    path.parents[1] / f'DUTS-{split}-Mask' / f'{name}.png'
                )
            save(mask, data / root / f'DUTS-{split}-Mask' / f'{name}.png')


def bsds500(data: Path, real: Path | None) -> None:
    """Augmented pairs to train, official files to test."""
    root = data / 'BSDS500' / 'data'
    source = real and real / 'BSDS500' / 'data'
    for i, path in enumerate(some(source and source / 'images' / 'test', '*.jpg')):
        image = image_at(path, i, None).crop((0, 0, 120, 90))
        name = path.stem if path else f'image_{i}'
        edges = np.stack(
            [blob(i + j, 90, 120) ^ blob(i + j + 1, 90, 120) for j in (0, 1)]
        )
        edges = edges // 255
        save(image, root / 'images' / 'test' / f'{name}.jpg')
        save(image, root / 'augmented' / 'images' / f'{name}.jpg')
        mean = Image.fromarray((255 * edges.mean(0)).astype(np.uint8))
        save(mean, root / 'augmented' / 'edges' / f'{name}.png')
        file = root / 'groundTruth' / 'test' / f'{name}.mat'
        file.parent.mkdir(parents=True, exist_ok=True)
        cells = np.empty((1, 2), object)
        for j in range(2):
            cells[0, j] = np.array([[(edges[j],)]], dtype=[('Boundaries', object)])
        savemat(file, dict(groundTruth=cells))
