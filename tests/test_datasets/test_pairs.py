"""Image and truth together: resizing, cropping, edges, objects."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmcv.transforms import RandomFlip
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask
from scipy.io import savemat

from mmadm.datasets import CocoSaliency, ImageDataset, SeededIndex
from mmadm.datasets.coco_masks import decode, encode
from mmadm.datasets.transforms import (
    BicubicCondition,
    LoadBoundaries,
    LoadImages,
    PackDiffusionInputs,
    RandomCrop,
    RandomResizedCrop,
    ResizeInput,
    ResizeTo,
    SaturateEdges,
    UnionOfInstances,
)
from mmadm.utils import matlab_resize, resize
from tests.conftest import draw_photo

MAP_FROM_IMAGE = PackDiffusionInputs(image='gt_seg_map', condition='img')


def ramps(height: int = 60, width: int = 80) -> dict:
    """An image whose values tell their place, and a map of the same values."""
    y, x = np.mgrid[:height, :width].astype(np.uint8) * 2
    return dict(img=np.stack([y, x, x], axis=2), gt_seg_map=x.copy(), img_path='a.jpg')


# Sizes


def test_both_are_resized_by_an_antialiased_bilinear_filter():
    results = ResizeTo((15, 20))(ramps())
    assert results['img'].shape == (15, 20, 3) and results['img_shape'] == (15, 20)
    assert np.array_equal(results['gt_seg_map'], results['img'][..., 1])
    checks = np.indices((60, 80)).sum(0).astype(np.uint8) % 2 * 255
    grey = ResizeTo((15, 20))(dict(img=checks))['img']
    assert np.abs(grey.astype(int) - 127.5).max() < 16  # no aliases


def test_the_ground_truth_of_a_test_keeps_its_size():
    results = ResizeInput((32, 24))(ramps())
    sample = MAP_FROM_IMAGE(results)['data_samples']
    assert sample.condition.shape == (3, 32, 24)
    assert sample.target_shape == (32, 24)
    assert torch.equal(sample.gt_img[0], torch.from_numpy(ramps()['gt_seg_map']))


def test_random_windows_show_one_place_in_image_and_map():
    transform, shares = RandomResizedCrop((30, 40), scale=(0.25, 1)), []
    corners = set()
    for seed in range(100):
        np.random.seed(seed)
        results = transform(ramps())
        image, map_ = results['img'].astype(int), results['gt_seg_map'].astype(int)
        assert image.shape == (30, 40, 3) and results['img_shape'] == (30, 40)
        # Nearest against bilinear: at most about a pixel apart, of value 2.
        assert np.abs(image[..., 1] - map_).max() <= 4
        rows, columns = np.ptp(image[..., 0]) / 2, np.ptp(image[..., 1]) / 2
        corners.add((image[..., 0].min() > 20, image[..., 1].min() > 20))
        shares.append((rows + 1) * (columns + 1) / (60 * 80))
    assert len(corners) == 4  # windows lie at every side
    assert 0.15 < min(shares) < 0.35 and 0.75 < max(shares) <= 1.02


def test_random_windows_keep_the_values_of_the_map():
    results = ramps()
    results['gt_seg_map'] = (results['gt_seg_map'] > 80).astype(np.uint8) * 255
    for seed in range(20):
        np.random.seed(seed)
        out = RandomResizedCrop((31, 33))(dict(results))
        assert set(np.unique(out['gt_seg_map'])) <= {0, 255}


def test_a_window_fits_into_a_narrow_image():
    out = RandomResizedCrop((8, 8), scale=(0.9, 1))(dict(img=ramps(10, 80)['img']))
    assert out['img'].shape == (8, 8, 3)


@pytest.mark.parametrize(
    'transform',
    [ResizeTo((8, 8)), ResizeInput((8, 8)), RandomResizedCrop((8, 8)), RandomCrop(8)],
)
def test_a_map_of_another_size_is_named(transform):
    results = dict(ramps(), seg_map_path='a.png')
    results['gt_seg_map'] = results['gt_seg_map'][1:]
    message = r'different size: a\.jpg is 60x80, a\.png is 59x80\. Correct or remove'
    with pytest.raises(ValueError, match=message):
        transform(results)


def test_the_kernel_of_the_condition_is_chosen():
    photo = draw_photo(0)
    low = BicubicCondition(4, 'matlab')(dict(img=photo))['condition']
    assert np.array_equal(low, matlab_resize(photo, (10, 12)))
    low = BicubicCondition(4)(dict(img=photo))['condition']
    assert np.array_equal(low, resize(photo, (10, 12), 'bicubic'))
    with pytest.raises(ValueError, match=r"'mathlab'.*\['pillow', 'matlab'\]"):
        BicubicCondition(4, 'mathlab')


# A list of names


def test_a_list_of_windows_is_read_and_one_that_is_no_text_is_named(
    photo_folder, tmp_path
):
    (tmp_path / 'list.txt').write_bytes(b'\xef\xbb\xbfphoto_3.png\r\n')
    options = dict(data_prefix=dict(img_path='photos'), ann_file='list.txt')
    assert len(ImageDataset(str(tmp_path), **options)) == 1
    (tmp_path / 'list.txt').write_bytes(b'\x89PNG\xff\xfe')
    with pytest.raises(ValueError, match=r'not a text file: .*list\.txt'):
        ImageDataset(str(tmp_path), **options)


def test_a_list_chooses_images_and_their_order(photo_folder, tmp_path):
    (tmp_path / 'list.txt').write_text('photo_3.png\n\nphoto_1.png\n')
    dataset = ImageDataset(
        str(tmp_path), dict(img_path='photos'), ann_file='list.txt', pipeline=[]
    )
    assert [Path(item['img_path']).stem for item in dataset] == ['photo_3', 'photo_1']


@pytest.mark.parametrize(
    'text, message',
    [
        (
            'photo_0.png\nb.png\n',
            r"1 of the 2 images listed in .*\['b\.png'\].*Restore",
        ),
        ('\n', 'List of images is empty'),
        (None, 'List of images not found'),
    ],
)
def test_a_list_that_does_not_fit_is_refused(photo_folder, tmp_path, text, message):
    if text is not None:
        (tmp_path / 'list.txt').write_text(text)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        ImageDataset(str(tmp_path), dict(img_path='photos'), ann_file='list.txt')


# Edges


def write_boundaries(path: Path, maps: np.ndarray) -> None:
    """A ground truth of BSDS500: a cell of structs, as MATLAB writes it."""
    cells = np.empty((1, len(maps)), object)
    for i, boundaries in enumerate(maps):
        cells[0, i] = dict(Boundaries=boundaries, Segmentation=boundaries + 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, dict(groundTruth=cells))


def edges_of(root: Path, maps: np.ndarray, *transforms) -> ImageDataset:
    (root / 'images').mkdir(exist_ok=True)
    Image.fromarray(draw_photo(0)).save(root / 'images' / 'a.jpg')
    write_boundaries(root / 'truth' / 'a.mat', maps)
    prefix = dict(img_path='images', edges_path='truth')
    pipeline = [LoadImages(), LoadBoundaries(), *transforms, MAP_FROM_IMAGE]
    return ImageDataset(str(root), prefix, pipeline=pipeline)


def test_every_annotator_arrives_and_their_mean_is_the_ground_truth(tmp_path):
    maps = np.zeros((3, 40, 48), np.uint8)
    maps[:, 5] = 1
    maps[0, 10] = maps[1, 10] = maps[2, 20] = 1
    sample = edges_of(tmp_path, maps)[0]['data_samples']
    assert (
        np.array_equal(sample.gt_edges, maps) and sample.gt_edges.dtype == torch.uint8
    )
    rows = sample.gt_img[0, :, 0]
    assert [rows[5], rows[10], rows[20], rows[0]] == [255, 170, 85, 0]
    assert sample.condition.shape == (3, 40, 48)


def test_annotations_that_no_longer_belong_to_the_map_are_left_out(tmp_path):
    maps = np.zeros((2, 40, 48), np.uint8)
    maps[:, 5] = 1
    for transform in (RandomCrop(32), RandomFlip(prob=1.0)):
        sample = edges_of(tmp_path, maps, transform)[0]['data_samples']
        assert 'gt_edges' not in sample and 'gt_img' in sample


def test_what_enough_annotators_drew_is_saturated():
    edges = np.array([[0, 51, 76, 77, 128, 255]], np.uint8)
    saturated = SaturateEdges(0.3)(dict(gt_seg_map=edges))['gt_seg_map']
    assert saturated.tolist() == [[0, 51, 76, 255, 255, 255]]
    assert saturated.dtype == np.uint8


def test_boundaries_of_another_size_are_named(tmp_path):
    dataset = edges_of(tmp_path, np.zeros((2, 48, 40), np.uint8))
    with pytest.raises(ValueError, match=r'a\.jpg is \(40, 48\), .*a\.mat is \(48, 40'):
        dataset[0]


def test_a_ground_truth_without_annotators_is_named(tmp_path):
    dataset = edges_of(tmp_path, np.zeros((0, 40, 48), np.uint8))
    with pytest.raises(ValueError, match=r'a\.mat'):
        dataset[0]


def test_a_corrupted_ground_truth_is_replaced_in_training_and_named_in_tests(tmp_path):
    maps = np.zeros((2, 40, 48), np.uint8)
    maps[:, 5] = 1
    edges_of(tmp_path, maps)
    Image.fromarray(draw_photo(1)).save(tmp_path / 'images' / 'b.jpg')
    (tmp_path / 'truth' / 'b.mat').write_bytes(b'MATLAB 5.0 MAT-file' + bytes(50))
    dataset = edges_of(tmp_path, maps)
    (broken,) = dataset[SeededIndex(1, seed=4)]['data_samples'].broken
    assert 'b.mat' in broken
    with pytest.raises(ValueError, match=r'b\.mat'):
        dataset[1]


def test_images_and_ground_truth_must_pair_up(tmp_path):
    edges_of(tmp_path, np.zeros((1, 40, 48), np.uint8))
    (tmp_path / 'truth' / 'a.mat').rename(tmp_path / 'truth' / 'b.mat')
    prefix = dict(img_path='images', edges_path='truth')
    with pytest.raises(ValueError, match=r'no partner: a'):
        ImageDataset(str(tmp_path), prefix)
    with pytest.raises(FileNotFoundError, match=r'No partner of an image \(\.mat\)'):
        ImageDataset(str(tmp_path), dict(img_path='images', edges_path='images'))


def test_bsds500_is_read_as_downloaded(data_root):
    prefix = dict(img_path='images/test', edges_path='groundTruth/test')
    pipeline = [LoadImages(), LoadBoundaries(), MAP_FROM_IMAGE]
    dataset = ImageDataset(str(data_root / 'BSDS500/data'), prefix, pipeline=pipeline)
    assert len(dataset) == 200
    samples = [dataset[i]['data_samples'] for i in range(0, 200, 20)]
    assert {tuple(s.gt_img.shape[1:]) for s in samples} <= {(321, 481), (481, 321)}
    assert all(4 <= len(s.gt_edges) <= 8 for s in samples)


# COCO


def coco(tmp_path: Path, **changes) -> Path:
    """Three images: polygons and run lengths, a crowd of one category, nothing."""
    size = dict(height=40, width=48)
    images = [dict(id=i, file_name=f'{i}.png', **size) for i in (3, 1, 2)]
    for image in images:
        Image.fromarray(draw_photo(image['id'])).save(tmp_path / image['file_name'])
    square = [[4, 4, 20, 4, 20, 12, 4, 12]]
    # Run lengths go down the columns: 40 * 30 zeros, then five columns of ones.
    runs = dict(size=[40, 48], counts=[40 * 30, 40 * 5, 40 * 13])
    annotations = [
        dict(id=1, image_id=1, category_id=7, segmentation=square),
        dict(id=2, image_id=1, category_id=9, segmentation=runs),
        dict(id=3, image_id=3, category_id=9, segmentation=runs),
    ]
    categories = [dict(id=7, name='cat'), dict(id=9, name='dog')]
    content = dict(images=images, annotations=annotations, categories=categories)
    (tmp_path / 'ann.json').write_text(json.dumps(content | changes))
    return tmp_path


def saliency(root: Path, **kwargs) -> CocoSaliency:
    pipeline = [LoadImages(), UnionOfInstances(), MAP_FROM_IMAGE]
    return CocoSaliency('ann.json', data_root=str(root), pipeline=pipeline, **kwargs)


def test_the_union_of_instances_is_the_map(tmp_path):
    dataset = saliency(coco(tmp_path))
    assert [Path(x['data_samples'].img_path).stem for x in dataset] == ['1', '3']
    map_ = dataset[0]['data_samples'].gt_img[0].numpy()
    assert set(np.unique(map_)) == {0, 255}
    expected = Image.new('L', (48, 40))
    ImageDraw.Draw(expected).rectangle((4, 4, 19, 11), fill=255)
    ImageDraw.Draw(expected).rectangle((30, 0, 34, 39), fill=255)
    assert (map_ != np.array(expected)).sum() <= 30  # a polygon's rim is convention
    assert (map_[:, 30:35] == 255).all() and (map_[6:10, 6:18] == 255).all()


def test_results_can_carry_the_ids_of_the_annotation_file(tmp_path):
    assert [x['data_samples'].img_id for x in saliency(coco(tmp_path))] == [1, 3]


def test_a_crowd_and_compressed_run_lengths_are_read(tmp_path):
    mask = np.zeros((40, 48), np.uint8)
    mask[3:9, 30:40] = 1
    runs = coco_mask.encode(np.asfortranarray(mask))
    runs['counts'] = runs['counts'].decode()
    ann = dict(id=1, image_id=1, category_id=7, iscrowd=1, segmentation=runs)
    map_ = saliency(coco(tmp_path, annotations=[ann]))[0]['data_samples'].gt_img
    assert (map_[0].numpy() == mask * 255).all()


def test_polygons_of_two_points_have_no_area(tmp_path):
    polygons = [[2, 2, 30, 30], [4, 4, 20, 4, 20, 12, 4, 12]]
    ann = dict(id=1, image_id=1, category_id=7, segmentation=polygons)
    map_ = saliency(coco(tmp_path, annotations=[ann]))[0]['data_samples'].gt_img
    assert not map_[0, 20:].any() and map_[0, 6:10, 6:18].all()


def test_categories_and_empty_images_are_chosen(tmp_path):
    root = coco(tmp_path)
    cats = saliency(root, categories=('cat',))
    assert len(cats) == 1 and not cats[0]['data_samples'].gt_img[0, :, 30:].any()
    everything = saliency(root, filter_cfg=dict(filter_empty_gt=False))
    assert len(everything) == 3
    assert not everything[1]['data_samples'].gt_img.any()
    with pytest.raises(ValueError, match=r"no categories \['cow'\].*\['cat', 'dog'\]"):
        saliency(root, categories=('cow',))


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(annotations=[]), r'None of the 3 images .*has an instance'),
        (dict(images=[]), 'No image in'),
        (
            dict(images=[dict(id=1, file_name='1.png')]),
            r"ann\.json \(KeyError: 'height",
        ),
        (dict(annotations=[dict(image_id=1)]), r"ann\.json \(KeyError: 'category_id"),
        (dict(categories=[7]), r'Not an annotation file.*ann\.json \(TypeError'),
        (dict(images=None), 'No image in'),
        (
            dict(annotations=[dict(image_id=5, category_id=7, segmentation=[[1]])]),
            'annotates the image 5, which it does not list',
        ),
    ],
)
def test_empty_or_inconsistent_annotations_are_refused(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        saliency(coco(tmp_path, **changes))


def test_files_that_are_missing_or_no_annotations_are_named(tmp_path):
    root = coco(tmp_path)
    (root / '2.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'1 of the 3 images .*2\.png'):
        saliency(root)
    (root / 'ann.json').write_text('{"images": []}')
    with pytest.raises(ValueError, match=r'Not an annotation file.*annotations'):
        saliency(root)
    (root / 'ann.json').unlink()
    with pytest.raises(FileNotFoundError, match='Annotation file not found'):
        saliency(root)


NEAR = [4, 4, 20, 4, 20, 12]


@pytest.mark.parametrize(
    'segmentation, message',
    [
        ([[1, 2, 3]], 'a polygon of 3 coordinates'),
        ([NEAR, []], 'a polygon of 0 coordinates'),
        ([[4, 4, 1e9, 4, 20, 12]], 'far outside'),
        ([[4, 4, -1e9, 4, 20, 12]], 'far outside'),
        ([[4, 4, float('nan'), 4, 20, 12]], 'not finite'),
        ([[4, 4, float('inf'), 4, 20, 12]], 'not finite'),
        ([[-40, -40, 90, 90] * 5000], 'outlines of more than 1,000,000 pixels'),
        ([['a', 'b'] * 3], 'not a list of numbers'),
        ([[True, False] * 3], 'not a list of numbers'),
        (NEAR, 'not a list of numbers'),
        ([[NEAR, NEAR[:4]]], 'not a list of numbers'),
        ('polygon', 'str is no form of a mask'),
        (dict(size=[40, 48], counts=[7]), 'do not fill the image'),
        (dict(size=[40, 48], counts=[2000, -80]), 'do not fill the image'),
        (dict(size=[40, 48], counts=[2**62] * 4 + [1920]), 'do not fill the image'),
        (dict(size=[40, 48], counts=[0.5, 1919.5]), 'not integers'),
        (dict(size=[40, 48], counts='52'), 'do not fill the image'),
        (dict(size=[40, 48], counts='o' * 40), 'damaged'),
        (dict(size=[40, 48], counts='\x7f'), 'damaged'),
        (dict(size=[40, 48], counts=''), 'damaged'),
        (dict(size=[40, 48]), 'not integers'),
        (dict(size=[8, 8], counts=[64]), 'a mask of the size'),
        (dict(counts=[7]), 'the size None'),
    ],
)
def test_damaged_geometry_is_refused_by_its_id(tmp_path, segmentation, message):
    """pycocotools crashes, hangs or returns uninitialised memory for some of them."""
    ann = dict(id=12, image_id=1, category_id=7, segmentation=segmentation)
    root = coco(tmp_path, annotations=[ann])
    with pytest.raises(ValueError, match=rf'ann\.json.*\n.*12 of .*1\.png.*{message}'):
        saliency(root)
    results = dict(img=draw_photo(1), img_path='1.png', ann_size=(40, 48))
    with pytest.raises(ValueError, match=rf'1\.png.*{message}'):
        UnionOfInstances()(results | dict(instances=[segmentation]))


def test_annotations_without_a_mask_are_counted(tmp_path, monkeypatch):
    messages = []
    monkeypatch.setattr(
        'mmadm.datasets.coco_saliency.print_log', lambda text, *_: messages.append(text)
    )
    empty = [dict(id=i, image_id=1, category_id=7, segmentation=[]) for i in range(2)]
    whole = dict(id=3, image_id=2, category_id=7, segmentation=[NEAR])
    assert len(saliency(coco(tmp_path, annotations=[*empty, whole]))) == 1
    assert '2 annotations of' in messages[0]


@pytest.mark.parametrize('seed', range(5))
def test_run_lengths_are_read_as_by_pycocotools(seed):
    rng = np.random.default_rng(seed)
    for height, width in ((1, 1), (7, 5), (300, 200)):
        mask = (rng.random((height, width)) > rng.random()).astype(np.uint8)
        if seed == 4:
            mask[:] = 1
        elif seed == 3:  # long runs
            mask = np.sort(mask.ravel()).reshape(width, height).T.copy()
        entry = encode(mask)
        assert np.array_equal(decode(entry, (height, width)), mask)
        runs = np.diff(np.flatnonzero(np.diff(mask.T.ravel(), prepend=2, append=2)))
        plain = dict(entry, counts=([0] if mask[0, 0] else []) + runs.tolist())
        assert np.array_equal(decode(plain, (height, width)), mask)


def test_polygons_may_reach_a_little_beyond_the_image():
    polygon = [[-3.5, 4, 60, 4, 60, 12, -3.5, 12]]
    inside = [[0, 4, 48, 4, 48, 12, 0, 12]]
    assert np.array_equal(decode(polygon, (40, 48)), decode(inside, (40, 48)))


SIZE = dict(height=40, width=48)


@pytest.mark.parametrize(
    'changes, message',
    [
        (
            dict(categories=[dict(id=7, name='cat'), dict(id=9, name='cat')]),
            "several categories with the name 'cat'",
        ),
        (
            dict(categories=[dict(id=7, name='cat'), dict(id=7, name='dog')]),
            'several categories with the id 7',
        ),
        (
            dict(images=[dict(id=1, file_name=f'{i}.png', **SIZE) for i in (1, 2)]),
            'several images with the id 1',
        ),
        (
            dict(images=[dict(id=i, file_name='1.png', **SIZE) for i in (1, 2)]),
            "several images with the file_name '1.png'",
        ),
        (
            dict(annotations=[dict(image_id=1, category_id=4, segmentation=[NEAR])]),
            'annotates the category 4, which it does not list',
        ),
        (
            dict(images=[dict(id=1, file_name='1.png', height=40, width=-48)]),
            'does not consist of positive integers',
        ),
        (
            dict(images=[dict(id=1, file_name='1.png', height=10**6, width=10**6)]),
            'exceeds 90,000,000 pixels',
        ),
    ],
)
def test_ids_names_and_sizes_must_be_consistent(tmp_path, changes, message):
    with pytest.raises(ValueError, match=rf'ann\.json .*{message}'):
        saliency(coco(tmp_path, **changes))


def test_an_image_of_another_size_than_annotated_is_named(tmp_path):
    root = coco(tmp_path)
    Image.new('RGB', (20, 20)).save(root / '1.png')
    with pytest.raises(
        ValueError, match=r'1\.png is \(20, 20\), annotated is \(40, 48'
    ):
        saliency(root)[0]
