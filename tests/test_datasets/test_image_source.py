"""Images for statistics and scores, from all sources."""

import pickle

import numpy as np
import pytest
from PIL import Image

from mmadm.datasets import open_images
from tests.conftest import draw_photo


@pytest.fixture
def drawn() -> np.ndarray:
    return np.stack([draw_photo(seed, 32, 32) for seed in range(5)])


def test_folder_archive_and_cifar10_hold_the_same_images(drawn, tmp_path):
    folder, root = tmp_path / 'folder', tmp_path / 'cifar10'
    batches = root / 'cifar-10-batches-py'
    for path in (folder / 'deep', batches):
        path.mkdir(parents=True)
    for i, image in enumerate(drawn):
        Image.fromarray(image).save(folder / 'deep' / f'{i}.png')
        flat = image.transpose(2, 0, 1).reshape(1, 3072)
        batch = pickle.dumps({b'data': flat}, protocol=2)
        (batches / f'data_batch_{i + 1}').write_bytes(batch)
    (batches / 'test_batch').write_bytes(b'not to be read')
    np.savez(tmp_path / 'samples.npz', drawn)

    for source, kind in (
        (folder, '.png'),
        (tmp_path / 'samples.npz', '.npz'),
        (root, 'CIFAR-10 train'),
    ):
        images = open_images(source)
        assert images.formats == {kind: 5} and len(images) == 5
        assert (np.stack(list(images)) == drawn).all()


def test_grey_samples_become_rgb(drawn, tmp_path):
    np.savez(tmp_path / 'grey.npz', drawn[..., :1])
    (first, *_) = open_images(tmp_path / 'grey.npz')
    assert (first == drawn[0, ..., :1]).all() and first.shape == (32, 32, 3)


def test_images_are_resized_as_pillow_does(photo_folder, drawn, tmp_path):
    np.savez(tmp_path / 'x.npz', drawn)
    (first, *_) = open_images(tmp_path / 'x.npz').resized(16, 'lanczos')
    pillow = Image.fromarray(drawn[0]).resize((16, 16), Image.Resampling.LANCZOS)
    assert (first == np.array(pillow)).all()
    with pytest.raises(ValueError, match=r'16 x 16 would distort image 0.*40 x 48'):
        list(open_images(photo_folder).resized(16, 'lanczos'))


def test_what_holds_no_samples_is_refused(drawn, tmp_path):
    path = tmp_path / 'x.npz'
    with pytest.raises(FileNotFoundError, match=r'test\.py.*x\.npz'):
        open_images(path)
    with pytest.raises(FileNotFoundError, match='nowhere'):
        open_images(tmp_path / 'nowhere')
    np.savez(path, other=drawn)
    with pytest.raises(ValueError, match=r'x\.npz.*arr_0'):
        open_images(path)
    np.savez(path, drawn / 255)
    with pytest.raises(ValueError, match='float64'):
        open_images(path)
    np.savez(path, drawn.transpose(0, 3, 1, 2))
    with pytest.raises(ValueError, match=r'\(5, 3, 32, 32\)'):
        open_images(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=r'x\.npz'):
        open_images(path)
