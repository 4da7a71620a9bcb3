"""Masks for inpainting: area of their holes, their file, conditions made of them."""

import json
import pickle
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from mmadm.datasets import ImageDataset, SeededIndex
from mmadm.datasets.coco_masks import encode
from mmadm.datasets.conversion import (
    check_names,
    draw_masks,
    image_names,
    masks_from_folder,
)
from mmadm.datasets.mask_file import decode, digest, read_masks, write_masks
from mmadm.datasets.masks import MASKS, scored_mask
from mmadm.datasets.transforms import (
    FixedMask,
    LoadImages,
    MaskedCondition,
    NamedMask,
    PackDiffusionInputs,
    RandomMask,
)
from mmadm.models import DiffusionPreprocessor

SIZE = (256, 256)

# Hole area of LaMa's masks: mean as drawn, fraction above half, mean after selection,
# standard deviation after selection; measured with LaMa's generator (4,000 draws).
LAMA = dict(
    thin=(0.294, 0.029, 0.283, 0.132),
    medium=(0.241, 0.009, 0.234, 0.132),
    thick=(0.402, 0.354, 0.258, 0.131),
)


@pytest.mark.parametrize('kind', LAMA)
def test_holes_are_as_large_as_lamas(kind):
    mean, above, mean_scored, std_scored = LAMA[kind]
    rng = np.random.default_rng(0)
    drawn = np.array([MASKS[kind](SIZE, rng).mean() for _ in range(600)])
    scored = np.array([scored_mask(kind, SIZE, rng).mean() for _ in range(120)])
    assert drawn.mean() == pytest.approx(mean, abs=0.015)
    assert (drawn > 0.5).mean() == pytest.approx(above, abs=0.03)
    assert scored.mean() == pytest.approx(mean_scored, abs=0.025)
    assert scored.std() == pytest.approx(std_scored, abs=0.02)
    assert scored.max() <= 0.5 and scored.min() > 0


@pytest.mark.parametrize('size', [(256, 256), (64, 48), (40, 200)])
def test_free_form_masks_hide_some_and_not_all(size):
    rng = np.random.default_rng(0)
    masks = [MASKS['free_form'](size, rng) for _ in range(200)]
    assert {mask.shape for mask in masks} == {size}
    assert {value for mask in masks for value in np.unique(mask)} == {0, 1}
    hidden = np.array([mask.mean() for mask in masks])
    assert 0 < hidden.min() < 0.2 and 0.5 < hidden.max() < 1


def test_boxes_and_strokes_stay_in_proportion():
    """Of medium masks, 0.3 in 1.3 are boxes: at most five of at most 50 x 50."""
    rng = np.random.default_rng(0)
    sides = []
    for _ in range(300):
        mask = MASKS['medium'](SIZE, rng)
        rows = mask.any(axis=1)
        # Boxes alone change between few different rows; slanted strokes do not.
        sides.append(len(np.unique(mask[rows], axis=0)) <= 12)
    assert np.mean(sides) == pytest.approx(0.3 / 1.3, abs=0.06)


def make_dataset(folder: Path, *transforms, condition='condition') -> ImageDataset:
    pipeline = [LoadImages(), *transforms, PackDiffusionInputs(condition=condition)]
    return ImageDataset(str(folder), pipeline=pipeline)


def test_the_same_seeded_index_has_the_same_hole(photo_folder):
    dataset = make_dataset(photo_folder, RandomMask('medium'), MaskedCondition())
    first = dataset[SeededIndex(2, 77)]['data_samples'].mask
    np.random.rand(5)
    assert torch.equal(first, dataset[SeededIndex(2, 77)]['data_samples'].mask)
    others = [dataset[SeededIndex(2, seed)]['data_samples'].mask for seed in range(5)]
    assert not all(torch.equal(first, other) for other in others)


def test_the_hole_of_a_name_is_always_the_same(photo_folder):
    images = make_dataset(photo_folder, NamedMask('free_form'), MaskedCondition())
    masks = [item['data_samples'].mask for item in images]
    np.random.seed(5)
    again = images[1]['data_samples'].mask
    assert again.equal(masks[1]) and not again.equal(masks[0])
    assert all(0 < mask.float().mean() <= 0.5 for mask in masks)


def test_the_condition_is_black_in_the_holes_and_the_image_elsewhere(photo_folder):
    item = make_dataset(photo_folder, RandomMask(), MaskedCondition())[0]
    sample, condition = item['data_samples'], item['inputs']['condition']
    hole = sample.mask[0].bool()
    assert sample.mask.shape == (1, 40, 48) and 0 < hole.float().mean() < 1
    assert condition.dtype == torch.uint8
    assert (condition[:, hole] == 0).all()
    assert torch.equal(condition[:, ~hole], sample.gt_img[:, ~hole])
    batch = dict(inputs={'condition': [condition]}, data_samples=[sample])
    seen = DiffusionPreprocessor()(batch)['inputs']['condition'][0]
    assert (seen[:, hole] == -1).all()


def test_the_mask_may_be_a_fourth_channel(photo_folder):
    masked = MaskedCondition(with_mask=True)
    item = make_dataset(photo_folder, RandomMask(), masked)[0]
    sample, condition = item['data_samples'], item['inputs']['condition']
    assert condition.shape == (4, 40, 48)
    assert torch.equal(condition[3:], sample.mask * 255)
    output = torch.zeros(3, 40, 48)
    pasted = DiffusionPreprocessor().to_uint8(output, sample)
    known = ~sample.mask[0].bool()
    assert torch.equal(pasted[:, known], sample.gt_img[:, known])
    assert (pasted[:, ~known] == 128).all()


def test_holes_in_training_may_be_limited(photo_folder):
    drawn, limited = (
        make_dataset(photo_folder, mask, MaskedCondition())
        for mask in (RandomMask('free_form'), RandomMask('free_form', max_hole=0.3))
    )
    largest = [
        max(
            images[SeededIndex(0, seed)]['data_samples'].mask.float().mean()
            for seed in range(20)
        )
        for images in (drawn, limited)
    ]
    assert 0 < largest[1] <= 0.3 < largest[0]
    with pytest.raises(ValueError, match='max_hole=0'):
        RandomMask(max_hole=0)


def test_a_filled_hole_shows_nothing_of_the_image_behind_it(photo_folder):
    filled = MaskedCondition(fill='telea')
    item = make_dataset(photo_folder, NamedMask('free_form'), filled)[0]
    sample, condition = item['data_samples'], item['inputs']['condition']
    image, hole = sample.gt_img.permute(1, 2, 0).numpy(), sample.mask[0].numpy()
    known = hole == 0
    assert (condition.permute(1, 2, 0).numpy()[known] == image[known]).all()
    other = np.where(known[..., None], image, 255 - image)
    results = filled(dict(img=other, mask=hole[..., None]))
    assert (results['condition'] == condition.permute(1, 2, 0).numpy()).all()
    # Its colours are those around the hole, not black.
    around = cv2.dilate(hole, np.ones((5, 5), np.uint8)).astype(bool) & known
    assert abs(results['condition'][hole == 1].mean() - image[around].mean()) < 40
    with pytest.raises(ValueError, match='fill='):
        MaskedCondition(fill='grey')


def test_unknown_kinds_are_refused():
    with pytest.raises(ValueError, match=r"'thinn'. Use one of \['thin', 'medium'"):
        RandomMask('thinn')


@pytest.mark.parametrize('kind, size', [('thick', 48), ('medium', 8), ('thin', 12)])
def test_images_too_small_for_a_kind_are_refused(kind, size):
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"kind='free_form'"):
        for _ in range(20):
            scored_mask(kind, (size, size), rng)


# Masks in a file


@pytest.fixture
def mask_file(tmp_path) -> Path:
    masks = draw_masks([f'photo_{i}' for i in range(4)], 'medium', (40, 48), seed=3)
    write_masks(tmp_path / 'masks.json', masks, kind='medium', seed=3)
    return tmp_path / 'masks.json'


def test_masks_survive_their_file(tmp_path):
    rng = np.random.default_rng(0)
    masks = {f'{i}': MASKS['thin']((70, 50), rng) for i in range(5)}
    written = {name: encode(mask) for name, mask in masks.items()}
    write_masks(tmp_path / 'below' / 'm.json', written, kind='thin')
    entries = read_masks(tmp_path / 'below' / 'm.json')
    for name, mask in masks.items():
        assert np.array_equal(decode(entries[name]), mask)
    assert [p.name for p in (tmp_path / 'below').iterdir()] == ['m.json']


def test_every_image_has_its_mask(photo_folder, mask_file):
    fixed = FixedMask(str(mask_file))
    with pytest.raises(ValueError, match=r'1 of 5 images.*photo_4\.png.*tools/'):
        make_dataset(photo_folder, fixed, MaskedCondition())
    (photo_folder / 'photo_4.png').unlink()
    dataset = make_dataset(photo_folder, fixed, MaskedCondition())
    masks = [dataset[i]['data_samples'].mask for i in range(4)]
    assert torch.equal(masks[1], dataset[1]['data_samples'].mask)
    assert not torch.equal(masks[0], masks[1])


def test_a_mask_of_another_size_is_named(photo_folder, mask_file):
    Image.new('RGB', (20, 30)).save(photo_folder / 'photo_0.png')
    (photo_folder / 'photo_4.png').unlink()
    dataset = make_dataset(photo_folder, FixedMask(str(mask_file)), MaskedCondition())
    with pytest.raises(ValueError, match=r'photo_0\.png of 30x20.*size \[40, 48\]'):
        dataset[0]


def test_masks_follow_from_seed_and_name_alone():
    names = ['a', 'b', 'c']
    masks = draw_masks(names, 'thick', seed=1)
    assert draw_masks(['c'], 'thick', seed=1)['c'] == masks['c']
    assert masks['a'] != masks['b']
    other = draw_masks(names, 'thick', seed=2)
    assert digest(other) != digest(masks)
    assert digest(dict(reversed(masks.items()))) == digest(masks)


@pytest.mark.parametrize(
    'text, message',
    [
        ('{', r'Not a file of test masks: .*masks\.json'),
        ('[]', 'Not a file of test masks'),
        ('{"masks": {}}', 'Not a file of test masks'),
        ('{"info": {"sha256": "0"}, "masks": {}}', 'Test masks were changed'),
        ('{"info": {"sha256": "0"}, "masks": {"a": {"size": [4]}}}', 'Not a file of'),
    ],
)
def test_a_broken_file_is_named(mask_file, text, message):
    mask_file.write_text(text)
    with pytest.raises(ValueError, match=message):
        FixedMask(str(mask_file)).check_entries([dict(img_path='photo_0.png')])


def test_a_changed_mask_is_noticed(mask_file):
    data = json.loads(mask_file.read_text())
    masks = data['masks']
    masks['photo_0'], masks['photo_1'] = masks['photo_1'], masks['photo_0']
    mask_file.write_text(json.dumps(data))
    with pytest.raises(ValueError, match='were changed'):
        read_masks(mask_file)
    with pytest.raises(FileNotFoundError, match=r'not found.*inpainting_masks\.py'):
        read_masks(mask_file.with_name('no.json'))


@pytest.mark.parametrize('counts', ['', '52', 'o', 'PPYo0', [7], [4, -4, 40 * 48]])
def test_run_lengths_that_do_not_fill_the_image_are_refused(mask_file, counts):
    """Even where the hash is right: pycocotools would return uninitialised memory."""
    masks = {'photo_0': dict(size=[40, 48], counts=counts)}
    write_masks(mask_file, masks)
    with pytest.raises(ValueError, match=r'Not a file of test masks.*run lengths'):
        read_masks(mask_file)


def test_other_files_are_not_overwritten(mask_file):
    other = mask_file.with_name('annotations.json')
    other.write_text('[1]')
    with pytest.raises(ValueError, match=r'annotations\.json exists and is not a file'):
        write_masks(other, read_masks(mask_file))
    assert other.read_text() == '[1]'
    mask_file.write_text('{"info": {}, "masks": 7}')
    write_masks(mask_file, {})


def test_masks_are_drawn_in_spawned_workers():
    transform = pickle.loads(pickle.dumps(MASKS['thin']))
    assert transform(SIZE, np.random.default_rng(0)).any()


def test_images_without_a_mask_are_counted(mask_file):
    masks = read_masks(mask_file)
    check_names(['photo_0', 'photo_3'], masks, 'm.json')
    with pytest.raises(ValueError, match=r'm\.json has no masks for 1 of 2.*: x\.'):
        check_names(['photo_0', 'x'], masks, 'm.json')


# Published masks


def test_both_polarities_become_the_same_holes(tmp_path):
    hole = np.zeros((40, 48), np.uint8)
    hole[10:20, 5:30] = 1
    for folder, grey in (('white', hole * 250), ('black', 255 - hole * 255)):
        (tmp_path / folder).mkdir()
        Image.fromarray(grey).save(tmp_path / folder / 'a.png')
        masks = masks_from_folder(['a'], tmp_path / folder, folder, (40, 48))
        assert np.array_equal(decode(masks['a']), hole)


def test_masks_are_paired_by_name_or_taken_in_their_order_on_request(tmp_path):
    for i in range(2):
        image = np.zeros((8, 8), np.uint8)
        image[i] = 255
        Image.fromarray(image).save(tmp_path / f'{i}_mask.png')
    cycle = masks_from_folder(['x', 'y', 'z'], tmp_path, 'white', (8, 8), cycle=True)
    assert cycle['x'] == cycle['z'] != cycle['y']
    named = masks_from_folder(['1', '0'], tmp_path, 'white', (8, 8))
    assert (named['1'], named['0']) == (cycle['y'], cycle['x'])
    larger = masks_from_folder(['0'], tmp_path, 'white', (16, 32))
    assert decode(larger['0']).sum() == 2 * 32
    for names in (['0', '2'], ['x', 'y', 'z']):
        with pytest.raises(ValueError, match=r'no partner: .*--cycle'):
            masks_from_folder(names, tmp_path, 'white', (8, 8))


def test_images_that_would_share_a_mask_are_refused(tmp_path):
    listed = tmp_path / 'names.txt'
    listed.write_text('a/1.png\na/1.jpg\n')
    with pytest.raises(ValueError, match=r'Two files of one name: a.1\.png and a.1'):
        image_names(listed)


def test_images_of_one_name_in_two_folders_have_two_masks(photo_folder, tmp_path):
    for folder in ('a', 'b'):
        (tmp_path / 'images' / folder).mkdir(parents=True)
        shutil.copy(photo_folder / 'photo_0.png', tmp_path / 'images' / folder)
    listed = tmp_path / 'names.txt'
    listed.write_text('a/photo_0.png\nb/photo_0.png\n')
    names = image_names(listed)
    assert names == image_names(tmp_path / 'images') == ['a/photo_0', 'b/photo_0']
    write_masks(tmp_path / 'm.json', draw_masks(names, 'free_form', (40, 48)))
    fixed = FixedMask(str(tmp_path / 'm.json'))
    dataset = make_dataset(tmp_path / 'images', fixed, MaskedCondition())
    masks = [dataset[i]['data_samples'].mask for i in range(2)]
    assert not torch.equal(*masks)


def test_a_mask_that_hides_nothing_is_refused(tmp_path):
    Image.new('L', (8, 8), 0).save(tmp_path / 'x.png')
    with pytest.raises(ValueError, match=r'x\.png hides nothing.*--hole'):
        masks_from_folder(['x'], tmp_path, 'white', (8, 8))


@pytest.mark.parametrize('origin, hole', [('dfnet', 'black'), ('edgeconnect', 'white')])
def test_published_masks_hide_less_than_they_show(data_root, tmp_path, origin, hole):
    """The wrong polarity turns 20 to 50 % of hole into the complement."""
    for path in (data_root / 'masks_sample').glob(f'{origin}_*.png'):
        (tmp_path / path.name).symlink_to(path)
    names = [path.stem for path in tmp_path.iterdir()]
    hidden = {}
    for colour in ('white', 'black'):
        masks = masks_from_folder(names, tmp_path, colour)
        hidden[colour] = np.mean([decode(entry).mean() for entry in masks.values()])
    assert 0.2 < hidden.pop(hole) < 0.45
    assert 0.55 < hidden.popitem()[1] < 0.8
