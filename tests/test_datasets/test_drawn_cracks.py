"""The drawn pairs of the fine-tuning recipe."""

import numpy as np
import pytest

from mmadm.datasets.conversion import draw_crack_pairs
from mmadm.datasets.conversion.drawn_cracks import draw_pair
from mmadm.utils.images import read_image, read_mask


def test_cracks_are_darker_than_the_wall_and_lie_on_the_map():
    rng = np.random.default_rng(0)
    wall = np.full((96, 96, 3), 150, np.uint8)
    image, cracks = draw_pair(wall, rng)
    assert set(np.unique(cracks)) == {0, 255}
    assert 0.005 < (cracks > 0).mean() < 0.3
    grey = image.mean(axis=2)
    # Noise of standard deviation 2 on each channel; cracks are 30 % darker at least,
    # half covered pixels at their border 15 %.
    assert grey[cracks > 0].max() < 150 * 0.9
    assert grey[cracks > 0].mean() < 150 * 0.72
    assert np.median(grey[cracks == 0]) == pytest.approx(150, abs=2)


def test_pair_i_is_the_same_for_any_number_of_pairs(tmp_path):
    counts = draw_crack_pairs(tmp_path / 'few', 2, 1, size=48, seed=3)
    draw_crack_pairs(tmp_path / 'more', 3, 2, size=48, seed=3)
    assert counts == dict(train=2, test=1)
    for name in ('train/{}/000.png', 'train/{}/001.png', 'test/{}/000.png'):
        for kind in ('images', 'maps'):
            path = name.format(kind)
            first, second = tmp_path / 'few' / path, tmp_path / 'more' / path
            assert first.read_bytes() == second.read_bytes()
    image = read_image(tmp_path / 'few/train/images/000.png', 'color')
    assert image.shape == (48, 48, 3)
    assert read_mask(tmp_path / 'few/train/maps/000.png').shape == (48, 48)
    other = read_image(tmp_path / 'more/test/images/000.png', 'color')
    assert not np.array_equal(image, other)


def test_a_folder_with_files_and_impossible_sizes_are_refused(tmp_path):
    (tmp_path / 'note.txt').write_text('mine')
    with pytest.raises(ValueError, match='The folder has files'):
        draw_crack_pairs(tmp_path)
    with pytest.raises(ValueError, match='size=300'):
        draw_crack_pairs(tmp_path / 'new', size=300)
    with pytest.raises(ValueError, match='num_test'):
        draw_crack_pairs(tmp_path / 'new', num_test=0)
