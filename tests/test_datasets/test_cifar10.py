"""CIFAR-10: a tiny imitation of the official files, and the real ones where present."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mmcv.transforms import RandomFlip
from mmengine.dataset import pseudo_collate

from mmadm.datasets import CIFAR10Images
from mmadm.datasets.seeded import SeededIndex
from mmadm.datasets.transforms import PackDiffusionInputs
from mmadm.registry import DATASETS

TRAIN = tuple(f'data_batch_{number}' for number in range(1, 6))


def make_images(count: int, seed: int = 0) -> np.ndarray:
    """(N, 32, 32, 3), uint8."""
    return np.random.RandomState(seed).randint(0, 256, (count, 32, 32, 3), np.uint8)


def write_batch(folder: Path, name: str, images: np.ndarray) -> None:
    """The official format: red, green and blue planes one after the other."""
    folder.mkdir(parents=True, exist_ok=True)
    batch = {
        b'batch_label': b'training batch 1 of 5',
        b'labels': [3] * len(images),
        b'data': np.ascontiguousarray(images.transpose(0, 3, 1, 2)).reshape(-1, 3072),
        b'filenames': [b'leptodactylus_pentadactylus_s_000004.png'] * len(images),
    }
    (folder / name).write_bytes(pickle.dumps(batch, protocol=2))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two images per training batch, three to test."""
    folder = tmp_path / 'cifar-10-batches-py'
    for seed, name in enumerate(TRAIN):
        write_batch(folder, name, make_images(2, seed))
    write_batch(folder, 'test_batch', make_images(3, seed=9))
    return tmp_path


def images_of(dataset: CIFAR10Images) -> np.ndarray:
    return np.stack([dataset[i]['img'] for i in range(len(dataset))])


def test_train_split_is_all_five_batches_in_order(root: Path) -> None:
    expected = np.concatenate([make_images(2, seed) for seed in range(5)])
    np.testing.assert_array_equal(images_of(CIFAR10Images(str(root))), expected)


def test_test_split_is_the_test_batch(root: Path) -> None:
    dataset = DATASETS.build(
        dict(type='CIFAR10Images', data_root=str(root), split='test')
    )
    np.testing.assert_array_equal(images_of(dataset), make_images(3, seed=9))


def test_only_the_named_batches_are_read(root: Path) -> None:
    for name in TRAIN[1:]:
        (root / 'cifar-10-batches-py' / name).unlink()
    for batches in (TRAIN[:1], TRAIN[0]):  # the second as --cfg-options gives it
        dataset = CIFAR10Images(str(root), batches=batches)
        np.testing.assert_array_equal(images_of(dataset), make_images(2, seed=0))


def test_a_subset_keeps_its_images(root: Path) -> None:
    dataset = CIFAR10Images(str(root), indices=[1, 5])
    expected = np.stack([make_images(2, 0)[1], make_images(2, 2)[1]])
    np.testing.assert_array_equal(images_of(dataset), expected)


def test_images_can_be_flipped_and_packed(root: Path) -> None:
    pipeline = [RandomFlip(prob=1.0), PackDiffusionInputs()]
    dataset = CIFAR10Images(str(root), pipeline=pipeline)
    first = make_images(2)[0]
    for _ in range(2):  # what is in memory stays as it was
        item = dataset[SeededIndex(0, seed=5)]
        image = item['inputs']['image'].numpy()
        np.testing.assert_array_equal(image, first[:, ::-1].transpose(2, 0, 1))
    batch = pseudo_collate([item, item])
    assert len(batch['inputs']['image']) == 2
    assert item['data_samples'].target_shape == (32, 32)
    assert item['data_samples'].seed == 5


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'cifar-10-batches-py\. Unpack'):
        CIFAR10Images(str(tmp_path))


def test_missing_batch_is_named_beside_those_there(root: Path) -> None:
    (root / 'cifar-10-batches-py' / 'data_batch_3').unlink()
    with pytest.raises(FileNotFoundError, match=r'data_batch_3; the folder has \[.*_2'):
        CIFAR10Images(str(root))


def test_truncated_file_is_an_error(root: Path) -> None:
    path = root / 'cifar-10-batches-py' / 'test_batch'
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r'Broken batch.*test_batch.*Copy it again'):
        CIFAR10Images(str(root), split='test')


@pytest.mark.parametrize(
    'content',
    [
        {b'fine_labels': [1]},
        {b'data': np.zeros((2, 3072), np.float32)},
        {b'data': np.zeros((2, 32, 32, 3), np.uint8)},
        [1, 2],
    ],
)
def test_other_pickles_are_no_batches(root: Path, content: object) -> None:
    path = root / 'cifar-10-batches-py' / 'test_batch'
    path.write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(ValueError, match='Not a batch of CIFAR-10'):
        CIFAR10Images(str(root), split='test')


class Intruder:
    """A pickle that runs a command when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


def test_nothing_in_a_file_runs(root: Path, tmp_path: Path) -> None:
    trace = tmp_path / 'trace'
    path = root / 'cifar-10-batches-py' / 'test_batch'
    path.write_bytes(pickle.dumps({b'data': Intruder(trace)}, protocol=2))
    with pytest.raises(ValueError, match=r'wants to run .*mkdir'):
        CIFAR10Images(str(root), split='test')
    assert not trace.exists()


def test_unknown_split_is_an_error(root: Path) -> None:
    with pytest.raises(ValueError, match=r"'val'.*train"):
        CIFAR10Images(str(root), split='val')


def test_real_images_have_the_known_mean(data_root: Path, tmp_path: Path) -> None:
    source = data_root / 'cifar10_webp'
    if not source.is_dir():
        pytest.skip(f'No sample of CIFAR-10 at {source}.')
    script = source / 'unpack_cifar10.py'
    subprocess.run([sys.executable, script, source, tmp_path], check=True)
    dataset = CIFAR10Images(str(tmp_path), batches=TRAIN[:1])
    assert len(dataset) == 10000
    assert len(CIFAR10Images(str(tmp_path), split='test')) == 10000

    mean = images_of(dataset).reshape(-1, 3).mean(0) / 255
    # Of all 50,000; the first 10,000 differ in the third digit.
    np.testing.assert_allclose(mean, (0.4914, 0.4822, 0.4465), atol=4e-3)
