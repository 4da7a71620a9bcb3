"""Folders of images, their seeds and transforms."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from mmcv.transforms import RandomFlip
from mmengine.config import Config
from PIL import Image

from mmadm.datasets import (
    ImageDataset,
    ScikitImagePhotos,
    SeedDataset,
    SeededIndex,
    SeededInfiniteSampler,
)
from mmadm.datasets.coco_masks import encode
from mmadm.datasets.mask_file import decode, write_masks
from mmadm.datasets.transforms import (
    BicubicCondition,
    CropToMultiple,
    FixedMask,
    LoadImages,
    PackDiffusionInputs,
    RandomCrop,
    RandomMask,
)
from mmadm.registry import TRANSFORMS, build
from mmadm.utils.images import read_grey, read_image
from tests.conftest import ROOT, draw_photo


def make_dataset(folder: Path, *transforms, **options) -> ImageDataset:
    pipeline = [LoadImages(), *transforms, PackDiffusionInputs(**options)]
    return ImageDataset(str(folder), pipeline=pipeline)


def test_an_image_arrives_as_rgb_bytes(photo_folder):
    item = make_dataset(photo_folder)[2]
    assert item['inputs'].keys() == {'image'}
    expected = torch.from_numpy(draw_photo(2)).permute(2, 0, 1)
    assert torch.equal(item['inputs']['image'], expected)
    sample = item['data_samples']
    assert torch.equal(sample.gt_img, expected)
    assert sample.sample_idx == 2
    assert sample.target_shape == (40, 48)
    assert Path(sample.img_path).name == 'photo_2.png'


def test_folders_are_searched_deeply_and_sorted(photo_folder):
    below = photo_folder / 'below'
    below.mkdir()
    (photo_folder / 'photo_3.png').rename(below / 'a.PNG')
    (photo_folder / 'notes.txt').write_text('no image')
    names = [
        Path(x['img_path']).name for x in make_dataset(photo_folder).load_data_list()
    ]
    assert names == [
        'a.PNG',
        'photo_0.png',
        'photo_1.png',
        'photo_2.png',
        'photo_4.png',
    ]


def make_pairs(
    root: Path, images=('a', 'b'), maps=('a', 'b'), folders=('img', 'map')
) -> dict:
    img_path, map_path = folders
    for folder, names, suffix in ((img_path, images, 'jpg'), (map_path, maps, 'png')):
        (root / folder).mkdir()
        for i, name in enumerate(names):
            photo = draw_photo(i) if folder == img_path else draw_photo(i)[..., 0]
            Image.fromarray(photo).save(root / folder / f'{name}.{suffix}')
    prefix = dict(img_path=img_path, seg_map_path=map_path)
    return dict(data_root=str(root), data_prefix=prefix)


def test_pairs_meet_by_name_and_flip_together(tmp_path):
    flip = RandomFlip(prob=1.0)
    pack = PackDiffusionInputs(image='gt_seg_map', condition='img')
    dataset = ImageDataset(**make_pairs(tmp_path), pipeline=[LoadImages(), flip, pack])
    item = dataset[1]
    gt_map = np.ascontiguousarray(draw_photo(1)[:, ::-1, 0])
    assert torch.equal(item['inputs']['image'][0], torch.from_numpy(gt_map))
    assert item['inputs']['condition'].shape == (3, 40, 48)


def test_files_without_a_partner_are_named(tmp_path):
    with pytest.raises(ValueError, match=r'no partner: c.*Rename or remove'):
        ImageDataset(**make_pairs(tmp_path, images=('a', 'b', 'c')))


def test_files_that_differ_in_the_suffix_alone_are_two_images_but_no_pair(tmp_path):
    pairs = make_pairs(tmp_path)
    Image.fromarray(draw_photo(5)).save(tmp_path / 'img' / 'a.png')
    assert len(ImageDataset(str(tmp_path), dict(img_path='img'))) == 3
    with pytest.raises(ValueError, match=r'Two files of one name: .*a\.jpg.*a\.png'):
        ImageDataset(**pairs)


@pytest.mark.parametrize('make', [None, 'folder'])
def test_a_missing_or_empty_folder_is_named(tmp_path, make):
    folder = tmp_path / 'nowhere'
    if make:
        folder.mkdir()
    with pytest.raises(FileNotFoundError, match=r'nowhere.*Check the path'):
        ImageDataset(str(folder))


@pytest.mark.parametrize('kept', [0, 20, 400])
def test_a_broken_image_is_named(photo_folder, kept):
    path = photo_folder / 'photo_1.png'
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r'Broken image file: .*photo_1\.png'):
        make_dataset(photo_folder)[1]


def test_a_postscript_program_is_not_run(photo_folder, monkeypatch):
    """Whatever its suffix: Pillow would start Ghostscript."""
    ran = []
    monkeypatch.setattr(
        'PIL.EpsImagePlugin.Ghostscript', lambda *_, **__: ran.append(1)
    )
    path = photo_folder / 'photo_0.png'
    path.write_bytes(
        b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n'
    )
    for read in (lambda: read_image(str(path), 'color'), lambda: read_grey(path)):
        with pytest.raises(ValueError, match=r'Broken .*photo_0\.png'):
            read()
    assert not ran


def test_a_truncated_jpeg_is_not_half_read(photo_folder):
    path = photo_folder / 'photo_9.jpg'
    Image.fromarray(draw_photo(0, 200, 200)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match='Broken image file'):
        make_dataset(photo_folder)[5]


@pytest.mark.parametrize('mode', ['L', 'CMYK', 'P', 'RGBA', 'LA'])
def test_other_colour_modes_become_rgb(photo_folder, mode):
    suffix = 'jpg' if mode == 'CMYK' else 'png'
    Image.fromarray(draw_photo(0)).convert(mode).save(photo_folder / f'a.{suffix}')
    assert make_dataset(photo_folder)[0]['inputs']['image'].shape == (3, 40, 48)


def test_sixteen_bits_are_refused_by_name(photo_folder):
    deep = Image.fromarray(np.full((8, 8), 40000, np.uint16))
    deep.save(photo_folder / 'a.png')
    with pytest.raises(ValueError, match=r'more than 8 bits.*a\.png.*Convert'):
        make_dataset(photo_folder)[0]


@pytest.mark.parametrize('suffix', ['png', 'tif'])
@pytest.mark.parametrize('channels', [1, 3, 4])
def test_sixteen_bits_of_any_channels_are_refused(tmp_path, suffix, channels):
    """Pillow would keep the upper 8 bits of colours and say nothing."""
    import cv2

    path = tmp_path / f'a.{suffix}'
    deep = np.full((8, 8, channels), 40000, np.uint16)
    cv2.imwrite(str(path), deep)
    assert (cv2.imread(str(path), cv2.IMREAD_UNCHANGED).squeeze() == 40000).all()
    for color in ('color', 'grayscale'):
        with pytest.raises(ValueError, match=r'more than 8 bits.*a\.'):
            read_image(str(path), color)
    with pytest.raises(ValueError, match=r'more than 8 bits.*a\.'):
        read_grey(path)


def test_the_cache_reads_a_file_once(photo_folder):
    load = LoadImages(cache=True)
    path = str(photo_folder / 'photo_0.png')
    first = load({'img_path': path})['img']
    expected = first.copy()
    Path(path).unlink()
    first[:] = 0  # a transform that works in place
    assert np.array_equal(load({'img_path': path})['img'], expected)


def test_maps_are_read_by_their_two_values_or_as_images(tmp_path):
    mask = np.zeros((20, 30), np.uint8)
    mask[3:9] = 1
    Image.fromarray(draw_photo(0, 20, 30)).save(tmp_path / 'photo.png')
    Image.fromarray(mask).save(tmp_path / 'map.png')
    paths = dict(img_path=str(tmp_path / 'photo.png'))
    results = LoadImages()(dict(paths, seg_map_path=str(tmp_path / 'map.png')))
    assert np.array_equal(results['gt_seg_map'], mask * 255)

    photo = dict(paths, seg_map_path=paths['img_path'])
    results = LoadImages(map_color='color')(dict(photo))
    assert np.array_equal(results['gt_seg_map'], draw_photo(0, 20, 30))
    with pytest.raises(ValueError, match=r"colours.*photo\.png.*map_color='color'"):
        LoadImages()(dict(photo))


def test_a_corrupted_image_of_any_kind_is_replaced_in_training(photo_folder):
    """Damage that unpacks to megabytes, or more bits, is no reason to end a run."""
    deep = Image.fromarray(np.full((8, 8), 40000, np.uint16))
    deep.save(photo_folder / 'photo_1.png')
    frames = [Image.fromarray(draw_photo(i)) for i in range(2)]
    frames[0].save(photo_folder / 'photo_2.png', save_all=True, append_images=frames)
    dataset = make_dataset(photo_folder)
    for index, reason in ((1, 'more than 8 bits'), (2, 'frames or pages')):
        sample = dataset[SeededIndex(index, seed=5)]['data_samples']
        assert reason in sample.broken[0]
        with pytest.raises(ValueError, match=reason):
            dataset[index]


@pytest.mark.parametrize('late', [RandomFlip(prob=1.0), RandomCrop(16)])
def test_geometry_after_the_condition_is_an_error(photo_folder, late):
    pipeline = [RandomCrop(32), BicubicCondition(4)]
    pack = dict(condition='condition')
    assert make_dataset(photo_folder, *pipeline, **pack)[0]
    with pytest.raises(ValueError, match=r'photo_0\.png was changed after its cond'):
        make_dataset(photo_folder, *pipeline, late, **pack)[0]
    with pytest.raises(ValueError, match='changed after its condition'):
        make_dataset(photo_folder, pipeline[0], late, pipeline[1], late, **pack)[0]


def test_crops_cut_image_and_map_at_the_same_place():
    image = np.arange(20 * 30 * 3, dtype=np.uint32).reshape(20, 30, 3)
    results = dict(img=image, gt_seg_map=image[..., 0].copy())
    out = RandomCrop((8, 12))(results)
    assert out['img'].shape == (8, 12, 3) and out['img_shape'] == (8, 12)
    assert (out['img'][..., 0] == out['gt_seg_map']).all()


def test_random_crops_reach_every_place():
    image = np.arange(4 * 4 * 3).reshape(4, 4, 3)
    corners = {RandomCrop(3)(dict(img=image))['img'][0, 0, 0] for _ in range(100)}
    assert corners == {image[y, x, 0] for y in (0, 1) for x in (0, 1)}


def test_an_image_smaller_than_the_crop_is_named():
    results = dict(img=np.zeros((8, 20, 3)), img_path='small.png')
    with pytest.raises(ValueError, match=r'small\.png is 8x20, the crop 16x16'):
        RandomCrop(16)(results)


def test_the_condition_is_the_image_reduced():
    image = np.kron(np.arange(6, dtype=np.uint8).reshape(2, 3) * 40, np.ones((8, 8)))
    image = np.repeat(image.astype(np.uint8)[..., None], 3, axis=2)
    condition = BicubicCondition(scale=4)(dict(img=image))['condition']
    assert condition.shape == (4, 6, 3)
    assert abs(condition.astype(int).mean() - image.mean()) < 2


def test_an_image_that_the_scale_does_not_divide_is_refused():
    results = dict(img=np.zeros((10, 12, 3), np.uint8), img_path='odd.png')
    with pytest.raises(ValueError, match=r'10x12.*reduced by 4: odd\.png.*CropToMult'):
        BicubicCondition(4)(results)
    results = CropToMultiple(4)(results)
    assert BicubicCondition(4)(results)['condition'].shape == (2, 3, 3)


def test_the_same_seeded_index_gives_the_same_crop_anywhere(photo_folder):
    dataset = make_dataset(photo_folder, RandomCrop(16))
    index = SeededIndex(3, seed=12345)
    first = dataset[index]
    np.random.rand(7)
    again = dataset[index]
    assert torch.equal(first['inputs']['image'], again['inputs']['image'])
    assert first['data_samples'].seed == 12345
    other = dataset[SeededIndex(3, seed=54321)]
    assert not torch.equal(first['inputs']['image'], other['inputs']['image'])


def stream(sampler: SeededInfiniteSampler, count: int) -> list[SeededIndex]:
    iterator = iter(sampler)
    return [next(iterator) for _ in range(count)]


def test_every_pass_visits_every_item_with_new_seeds():
    items = stream(SeededInfiniteSampler(range(5), seed=3), 15)
    for start in (0, 5, 10):
        assert sorted(x.index for x in items[start : start + 5]) == list(range(5))
    assert len({x.seed for x in items}) == 15


def test_skipping_continues_the_stream():
    whole = stream(SeededInfiniteSampler(range(5), seed=3), 12)
    sampler = SeededInfiniteSampler(range(5), seed=3)
    sampler.skip(7)
    assert stream(sampler, 5) == whole[7:]


def test_ranks_share_one_stream(monkeypatch):
    whole = stream(SeededInfiniteSampler(range(5), seed=3), 10)
    for rank in range(2):
        monkeypatch.setattr(
            'mmengine.dataset.sampler.get_dist_info', lambda rank=rank: (rank, 2)
        )
        assert stream(SeededInfiniteSampler(range(5), seed=3), 5) == whole[rank::2]


def test_scikit_images_photographs_are_there():
    names = ('coffee', 'astronaut')
    dataset = ScikitImagePhotos(names, pipeline=[LoadImages()])
    assert [Path(item['img_path']).stem for item in dataset] == list(names)
    with pytest.raises(ValueError, match=r"no image named \['cofee'\].*coffee"):
        ScikitImagePhotos(('cofee',))


def test_generation_is_a_data_set_of_seeds():
    dataset = SeedDataset(3, target_shape=(8, 6))
    samples = [item['data_samples'] for item in dataset]
    assert [s.sample_idx for s in samples] == [0, 1, 2]
    assert {s.target_shape for s in samples} == {(8, 6)}
    with pytest.raises(ValueError, match='num_samples=0'):
        SeedDataset(0)


def test_images_of_one_name_in_two_folders_have_their_own_masks(tmp_path):
    masks = {}
    for i, name in enumerate(('a/1', 'b/1')):
        (tmp_path / 'in' / name).parent.mkdir(parents=True)
        Image.fromarray(draw_photo(i)).save(tmp_path / 'in' / f'{name}.png')
        mask = np.zeros((40, 48), np.uint8)
        mask[i * 10 : i * 10 + 5] = 1
        masks[name] = encode(mask)
    ann_file = str(tmp_path / 'masks.json')
    pipeline = [LoadImages(), FixedMask(ann_file), PackDiffusionInputs()]

    write_masks(ann_file, masks)
    dataset = ImageDataset(str(tmp_path / 'in'), pipeline=pipeline)
    for item, name in zip(dataset, masks):
        assert np.array_equal(item['data_samples'].mask[0], decode(masks[name]))

    write_masks(ann_file, {'1': masks['a/1']})
    pipeline[1] = FixedMask(ann_file)
    with pytest.raises(ValueError, match=r'Two images have the same mask.*a/1.*b/1'):
        ImageDataset(str(tmp_path / 'in'), pipeline=pipeline)


def test_maps_with_a_common_affix_and_a_list_of_images_are_paired(tmp_path):
    options = make_pairs(tmp_path, maps=('a_gt', 'b_gt'))
    (tmp_path / 'list.txt').write_text('b.jpg\n')
    dataset = ImageDataset(**options, ann_file='list.txt', pipeline=[])
    assert [Path(x['seg_map_path']).name for x in dataset] == ['b_gt.png']


@pytest.mark.parametrize(
    'path', sorted((ROOT / 'configs').glob('*/**/*.py')), ids=lambda path: path.stem
)
def test_every_transform_of_every_config_reaches_spawned_workers(path):
    """On macOS and Windows workers get the dataset pickled."""
    cfg = Config.fromfile(path)
    for split in ('train', 'val', 'test'):
        loader = cfg.get(f'{split}_dataloader') or {}
        for transform in loader.get('dataset', {}).get('pipeline', ()):
            built = build(TRANSFORMS, transform)
            assert pickle.dumps(built)
            assert vars(pickle.loads(pickle.dumps(built))).keys() == vars(built).keys()


def test_a_spawned_worker_reads_what_this_process_reads(photo_folder):
    transforms = (RandomCrop(16), BicubicCondition(4), RandomMask('thin'))
    pack = PackDiffusionInputs(condition='condition')
    dataset = ImageDataset(
        str(photo_folder), pipeline=[LoadImages(cache=True), *transforms, pack]
    )
    expected = dataset[SeededIndex(3, seed=7)]['inputs']
    copy = pickle.loads(pickle.dumps(dataset))[SeededIndex(3, seed=7)]['inputs']
    assert all(torch.equal(copy[key], expected[key]) for key in expected)
