"""Pictures of users, in the pipelines of tests."""

import numpy as np
import pytest
import torch
from PIL import Image

from mmadm.datasets import InferenceDataset
from mmadm.datasets.transforms import (
    BicubicCondition,
    CropToMultiple,
    FixedMask,
    LoadBoundaries,
    LoadImages,
    MaskedCondition,
    PackDiffusionInputs,
    ResizeInput,
)
from tests.conftest import draw_photo

MAP = [LoadImages(), PackDiffusionInputs('gt_seg_map', 'img')]
HOLES = [
    LoadImages(),
    FixedMask('no/such.json'),
    MaskedCondition(),
    PackDiffusionInputs(condition='condition'),
]
SMALL = [
    LoadImages(),
    CropToMultiple(4),
    BicubicCondition(4),
    PackDiffusionInputs(condition='condition'),
]


def only(pictures, pipeline, **options):
    """The first item."""
    return InferenceDataset(pictures, pipeline, **options)[0]


@pytest.mark.parametrize(
    'pipeline, condition, answer, full',
    [
        (MAP, (10, 15), (10, 15), (10, 15)),
        ([MAP[0], LoadBoundaries(), MAP[1]], (10, 15), (10, 15), (10, 15)),
        ([MAP[0], ResizeInput((8, 8)), MAP[1]], (8, 8), (8, 8), (10, 15)),
        ([MAP[0], CropToMultiple(4), MAP[1]], (8, 12), (8, 12), (8, 12)),
        # Here the picture is the small one, which nothing is cut from.
        (SMALL, (10, 15), (40, 60), (40, 60)),
    ],
)
def test_sizes_are_those_that_a_truth_would_lead_to(pipeline, condition, answer, full):
    item = only(draw_photo(0, 10, 15), pipeline)
    sample = item['data_samples']
    assert item['inputs'].keys() == {'condition'} and 'gt_img' not in sample
    assert item['inputs']['condition'].shape[-2:] == condition
    assert (sample.target_shape, sample.ori_shape) == (answer, full)


def test_the_condition_is_the_picture():
    picture = draw_photo(0, 10, 15)
    for pipeline in (MAP, SMALL):
        condition = only(picture, pipeline)['inputs']['condition']
        assert torch.equal(condition, torch.from_numpy(picture).permute(2, 0, 1))


def test_files_arrays_and_grey_pictures_are_alike(tmp_path):
    grey = draw_photo(0, 10, 15)[..., 0]
    Image.fromarray(grey).save(tmp_path / 'x.png')
    colour = np.stack([grey] * 3, axis=2)
    inputs = [tmp_path / 'x.png', grey, colour, str(tmp_path / 'x.png')]
    dataset = InferenceDataset(inputs, MAP)
    items = [dataset[i] for i in range(4)]
    for item in items:
        assert torch.equal(item['inputs']['condition'], items[0]['inputs']['condition'])
    names = [item['data_samples'].name for item in items]
    assert names == ['x', '000001', '000002', 'x_000003']


def test_a_folder_is_read_as_the_test_reads_it(tmp_path):
    for name in ('b.png', 'a.jpg', 'deep/a.png'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(draw_photo(0, 8, 8)).save(tmp_path / name)
    (tmp_path / 'notes.txt').write_text('no picture')
    dataset = InferenceDataset(tmp_path, MAP)
    assert [dataset[i]['data_samples'].name for i in range(3)] == ['a', 'b', 'deep/a']


@pytest.mark.parametrize('kind', ['bool', 'one', 'white', 'file', 'folder'])
def test_masks_come_in_many_forms(kind, tmp_path):
    picture, mask = draw_photo(0, 10, 15) | 1, np.zeros((10, 15), bool)
    mask[2:5, 3:9] = True
    pictures, masks = picture, dict(bool=mask, one=mask * 1.0).get(kind, mask * 255)
    if kind in ('file', 'folder'):
        for part, array in (('in', picture), ('holes', masks.astype(np.uint8))):
            (tmp_path / part).mkdir()
            Image.fromarray(array).save(tmp_path / part / 'x.png')
        pictures, masks = tmp_path / 'in', tmp_path / 'holes'
        if kind == 'file':
            pictures, masks = pictures / 'x.png', masks / 'x.png'
    item = only(pictures, HOLES, masks=masks)
    assert np.array_equal(item['data_samples'].mask[0].bool(), mask)
    assert np.array_equal((item['inputs']['condition'] == 0).all(0), mask)


@pytest.mark.parametrize(
    'masks, message',
    [
        (None, 'no mask for the image 000000'),
        (np.ones((9, 15)), '000000 is 10x15, its mask is 9x15'),
        (np.ones((10, 15, 3)), 'its mask is 10x15x3'),
        (np.full((10, 15), 7), 'Not a mask'),
        ([np.ones((10, 15))] * 2, '1 images and 2 masks'),
        ('no/such.png', 'not found'),
    ],
)
def test_masks_that_do_not_fit_are_named(masks, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        only(draw_photo(0, 10, 15), HOLES, masks=masks)


@pytest.mark.parametrize(
    'picture, message',
    [
        (np.zeros((8, 8, 4), np.uint8), 'uint8 .8, 8, 4.'),
        (np.zeros((8, 8, 3), np.float32), 'float32'),
        (np.zeros((0, 8, 3), np.uint8), 'uint8 .0, 8, 3.'),
        (torch.zeros(3, 8, 8), 'a Tensor'),
        (7, 'a int'),
    ],
)
def test_arrays_that_are_no_pictures_are_described(picture, message):
    with pytest.raises(ValueError, match=f'Not an image: .*{message}.*Give a path'):
        only(picture, MAP)


def test_an_empty_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'No image .*Give a folder of images'):
        InferenceDataset(tmp_path, MAP)


def test_a_user_says_what_stands_for_a_transform():
    class Darken:
        def __call__(self, results):
            results['condition'] = results['img'] // 2
            return results

        def for_inference(self, before):
            return [*before, self.take]

        @staticmethod
        def take(results):
            results['condition'] = results['img']
            return results

    picture = draw_photo(0, 8, 8)
    pack = PackDiffusionInputs(condition='condition')
    item = only(picture, [LoadImages(), Darken(), pack])
    assert item['inputs']['condition'].float().mean() == picture.mean()
