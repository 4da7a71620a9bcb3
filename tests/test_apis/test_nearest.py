"""Nearest training images."""

import numpy as np
import pytest
from PIL import Image

from mmadm.apis.nearest import draw_neighbours, nearest
from tests.test_tools.test_cli import call, refused

TOOL = 'analysis_tools/nearest_neighbours.py'


def draw(count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 12, 12, 3), np.uint8)


def test_a_copy_a_mirror_image_and_a_brighter_copy_are_found():
    training = draw(5, 0) // 2
    images = np.stack([training[3], training[1][:, ::-1], training[2] + 10])
    found = nearest(images, training)
    np.testing.assert_allclose(found.distances, [0, 0, 10], atol=1e-4)
    np.testing.assert_array_equal(found.images[:2], images[:2])
    np.testing.assert_array_equal(found.images[2], training[2])


def test_distances_are_the_smallest_of_all_differences():
    images, training = draw(3, 1), draw(70, 2)
    both = np.concatenate([training, training[:, :, ::-1]]).astype(float)
    expected = [np.sqrt(((both - x) ** 2).mean((1, 2, 3))).min() for x in images]
    np.testing.assert_allclose(nearest(images, training).distances, expected, 1e-5)


def test_the_sheet_has_the_chosen_images():
    images = draw(4, 3)
    found = nearest(images, draw(6, 4))
    two, three = (draw_neighbours(images, found, range(n)) for n in (2, 3))
    assert two.shape[0] == three.shape[0] > 24
    assert 1.4 < three.shape[1] / two.shape[1] < 1.6


@pytest.fixture
def folders(tmp_path):
    for name, seed in (('samples', 5), ('training', 6), ('other', 7)):
        (tmp_path / name).mkdir()
        for i, image in enumerate(draw(4, seed)):
            Image.fromarray(image).save(tmp_path / name / f'{i}.png')
    return tmp_path


def test_the_tool_compares_with_other_images_and_draws(folders, capsys, monkeypatch):
    monkeypatch.chdir(folders)
    options = ('--held-out', 'other', '--side', '12', '--out', 'sheet.png')
    call(TOOL, 'samples', 'training', *options)
    text = capsys.readouterr().out
    assert 'samples: 4 images' in text and 'held out: 4 images' in text
    assert Image.open('sheet.png').width > 4 * 12
    assert 'nowhere' in refused(capsys, TOOL, 'samples', 'nowhere')
