"""Images of users in the pipeline of the test."""

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
    ResizeTo,
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


def only(images, pipeline, **options):
    """The first item."""
    return InferenceDataset(images, pipeline, **options)[0]


@pytest.mark.parametrize(
    'pipeline, condition, output, full',
    [
        (MAP, (10, 15), (10, 15), (10, 15)),
        ([MAP[0], LoadBoundaries(), MAP[1]], (10, 15), (10, 15), (10, 15)),
        ([MAP[0], ResizeInput((8, 8)), MAP[1]], (8, 8), (8, 8), (10, 15)),
        ([MAP[0], CropToMultiple(4), MAP[1]], (8, 12), (8, 12), (8, 12)),
        # Here the image is the small one, which nothing is cut from.
        (SMALL, (10, 15), (40, 60), (40, 60)),
    ],
)
def test_sizes_are_those_of_the_ground_truth(pipeline, condition, output, full):
    item = only(draw_photo(0, 10, 15), pipeline)
    sample = item['data_samples']
    assert item['inputs'].keys() == {'condition'} and 'gt_img' not in sample
    assert item['inputs']['condition'].shape[-2:] == condition
    assert (sample.target_shape, sample.ori_shape) == (output, full)


def test_the_condition_is_the_image():
    image = draw_photo(0, 10, 15)
    for pipeline in (MAP, SMALL):
        condition = only(image, pipeline)['inputs']['condition']
        assert torch.equal(condition, torch.from_numpy(image).permute(2, 0, 1))


def test_files_arrays_and_grey_images_are_alike(tmp_path):
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
    (tmp_path / 'notes.txt').write_text('no image')
    dataset = InferenceDataset(tmp_path, MAP)
    assert [dataset[i]['data_samples'].name for i in range(3)] == ['a', 'b', 'deep/a']


@pytest.mark.parametrize('kind', ['bool', 'one', 'white', 'file', 'folder'])
def test_masks_come_in_many_forms(kind, tmp_path):
    image, mask = draw_photo(0, 10, 15) | 1, np.zeros((10, 15), bool)
    mask[2:5, 3:9] = True
    images, masks = image, dict(bool=mask, one=mask * 1.0).get(kind, mask * 255)
    if kind in ('file', 'folder'):
        for part, array in (('in', image), ('holes', masks.astype(np.uint8))):
            (tmp_path / part).mkdir()
            Image.fromarray(array).save(tmp_path / part / 'x.png')
        images, masks = tmp_path / 'in', tmp_path / 'holes'
        if kind == 'file':
            images, masks = images / 'x.png', masks / 'x.png'
    item = only(images, HOLES, masks=masks)
    assert np.array_equal(item['data_samples'].mask[0].bool(), mask)
    assert np.array_equal((item['inputs']['condition'] == 0).all(0), mask)


def save(array: np.ndarray, path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return str(path)


def marked(number: int) -> np.ndarray:
    """A mask that shows its number."""
    mask = np.zeros((10, 15), np.uint8)
    mask[0, number] = 255
    return mask


def numbers(images, masks) -> dict[str, int]:
    """Number of the mask of each image."""
    dataset = InferenceDataset(images, HOLES, masks=masks)
    samples = [dataset[i]['data_samples'] for i in range(len(dataset))]
    return {sample.name: int(sample.mask[0, 0].argmax()) for sample in samples}


@pytest.mark.parametrize('form', ['folders', 'lists', 'reversed lists'])
def test_masks_are_paired_by_name_and_never_by_position(form, tmp_path):
    photo, names = draw_photo(0, 10, 15), [str(i) for i in range(1, 11)]
    images = [save(photo, tmp_path / 'in' / f'{n}.png') for n in names]
    masks = [save(marked(int(n)), tmp_path / 'masks' / f'{n}_mask.png') for n in names]
    if form == 'folders':
        images, masks = tmp_path / 'in', tmp_path / 'masks'
    elif form == 'reversed lists':
        masks = masks[::-1]
    assert numbers(images, masks) == {name: int(name) for name in names}


def test_files_of_one_name_in_two_folders_are_kept_apart(tmp_path):
    photo = draw_photo(0, 10, 15)
    images = [save(photo, tmp_path / 'in' / name / '1.png') for name in 'ab']
    masks = [
        save(marked(i + 1), tmp_path / 'masks' / name / '1.png')
        for i, name in enumerate('ab')
    ]
    assert numbers(images, masks[::-1]) == {'a/1': 1, 'b/1': 2}
    with pytest.raises(ValueError, match='no partner'):
        numbers(images, [masks[0], save(photo[..., 0], tmp_path / 'masks/c/1.png')])


def test_a_missing_mask_is_named(tmp_path):
    for name in 'abcde':
        save(draw_photo(0, 10, 15), tmp_path / 'in' / f'{name}.png')
        if name != 'b':
            save(marked(1), tmp_path / 'masks' / f'{name}.png')
    with pytest.raises(ValueError, match='no partner: b'):
        numbers(tmp_path / 'in', tmp_path / 'masks')


def test_one_image_and_one_mask_belong_together_whatever_their_names(tmp_path):
    image = save(draw_photo(0, 10, 15), tmp_path / 'photo.png')
    assert numbers(image, save(marked(3), tmp_path / 'drawn.png')) == {'photo': 3}
    assert numbers([image, image], [marked(1), marked(2)]) == {
        'photo': 1,
        'photo_000001': 2,
    }


@pytest.mark.parametrize('value, covered', [(0, 'nothing'), (255, 'the whole image')])
def test_an_empty_or_full_mask_is_reported_once(value, covered, monkeypatch):
    messages = []
    monkeypatch.setattr(
        'mmadm.datasets.transforms.inference.print_log',
        lambda message, *_: messages.append(message),
    )
    masks = np.full((10, 15), value)
    dataset = InferenceDataset(draw_photo(0, 10, 15), HOLES, masks=masks)
    dataset[0], dataset[0]
    (message,) = messages
    assert f'mask of 000000 covers {covered}' in message


def test_a_stroke_on_a_white_transparent_layer_is_the_hole(tmp_path):
    layer = np.full((10, 15, 4), 255, np.uint8)
    layer[..., 3] = marked(4)
    image = save(draw_photo(0, 10, 15), tmp_path / 'a.png')
    assert numbers(image, save(layer, tmp_path / 'mask.png')) == {'a': 4}


@pytest.mark.parametrize(
    'masks, message',
    [
        (None, 'no mask for the image 000000'),
        (np.ones((9, 15)), '000000 is 10x15, its mask is 9x15'),
        (np.ones((10, 15, 3)), r'Not a mask: .*\(10, 15, 3\)'),
        (np.full((10, 15), 7), 'Not a mask'),
        ([np.ones((10, 15))] * 2, '1 images and 2 masks'),
        ('no/such.png', 'not found'),
    ],
)
def test_masks_that_do_not_fit_are_named(masks, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        only(draw_photo(0, 10, 15), HOLES, masks=masks)


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

    image = draw_photo(0, 8, 8)
    pack = PackDiffusionInputs(condition='condition')
    item = only(image, [LoadImages(), Darken(), pack])
    assert item['inputs']['condition'].float().mean() == image.mean()


def test_an_image_is_resized_together_with_its_mask():
    image, mask = draw_photo(0, 40, 60), np.zeros((40, 60), bool)
    mask[10:20, 30:60] = True
    pipeline = [HOLES[0], ResizeTo((20, 20)), *HOLES[1:]]
    sample = InferenceDataset(image, pipeline, masks=mask)[0]['data_samples']
    expected = torch.zeros(1, 20, 20, dtype=torch.uint8)
    expected[:, 5:10, 10:20] = 1
    assert sample.mask.equal(expected)
    with pytest.raises(ValueError, match='60, its mask is 20x20'):
        InferenceDataset(image, pipeline, masks=mask[:20, :20])[0]
