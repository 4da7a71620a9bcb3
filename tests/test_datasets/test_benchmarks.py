"""The data configs of the benchmarks on small imitations of the releases."""

import json
import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from mmengine.config import Config
from PIL import Image

from mmadm.apis.browse import (
    build,
    dataloader_config,
    evenly_spaced,
    time_transforms,
)
from mmadm.datasets import ImageDataset, SeededIndex
from mmadm.datasets.conversion import draw_masks
from mmadm.datasets.mask_file import write_masks
from tests.conftest import ROOT, draw_photo
from tests.test_datasets.test_pairs import write_boundaries

CONFIGS = ROOT / 'configs' / '_base_' / 'datasets'


def save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def make_celeba_hq(data: Path) -> None:
    root = data / 'celeba_hq'
    for i in range(3):
        save(root / 'images' / f'{i}.png', draw_photo(i, 256, 256))
    (root / 'splits').mkdir()
    for i, split in enumerate(('train', 'val', 'test')):
        (root / 'splits' / f'lama_{split}.txt').write_text(f'{i}.png\n')
        masks = draw_masks([str(i)], 'medium')
        write_masks(root / 'masks' / f'lama_{split}_medium.json', masks)


def make_div2k(data: Path) -> None:
    save(data / 'DIV2K/DIV2K_train_HR_sub/0001_768_0_0.png', draw_photo(0, 520, 530))
    save(data / 'DIV2K/DIV2K_valid_HR/0801.png', draw_photo(1, 513, 516))


def make_set5(data: Path) -> None:
    save(data / 'SR_benchmark/Set5/HR/baby.png', draw_photo(1, 50, 61))


def make_duts(data: Path) -> None:
    for part in ('DUTS-TR', 'DUTS-TE'):
        save(data / 'DUTS' / part / f'{part}-Image' / 'a.jpg', draw_photo(0))
        save(data / 'DUTS' / part / f'{part}-Mask' / 'a.png', draw_photo(0)[..., 0])


def make_coco(data: Path) -> None:
    square = [[4, 4, 20, 4, 20, 12, 4, 12]]
    for part in ('train2017', 'val2017'):
        save(data / 'coco' / part / 'a.jpg', draw_photo(0))
        content = dict(
            images=[dict(id=1, file_name='a.jpg', height=40, width=48)],
            annotations=[dict(id=1, image_id=1, category_id=1, segmentation=square)],
            categories=[dict(id=1, name='cat')],
        )
        path = data / 'coco' / 'annotations' / f'instances_{part}.json'
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))


def make_bsds500(data: Path) -> None:
    root, photo = data / 'BSDS500' / 'data', draw_photo(0, 80, 120)
    save(root / 'augmented/images/a.jpg', photo)
    save(root / 'augmented/edges/a.png', (photo[..., 0] > 128).astype(np.uint8) * 90)
    save(root / 'images/test/b.jpg', photo)
    write_boundaries(root / 'groundTruth/test/b.mat', np.ones((3, 80, 120), np.uint8))


# Dataset, mode -> what creates it, shape of image or ground truth, and of condition.
LOADERS = {
    ('celeba_hq', 'train'): (make_celeba_hq, (3, 256, 256), None),
    ('celeba_hq_inpainting', 'train'): (make_celeba_hq, (3, 256, 256), (3, 256, 256)),
    ('celeba_hq_inpainting', 'val'): (make_celeba_hq, (3, 256, 256), (3, 256, 256)),
    ('celeba_hq_inpainting', 'test'): (make_celeba_hq, (3, 256, 256), (3, 256, 256)),
    ('div2k', 'train'): (make_div2k, (3, 512, 512), (3, 128, 128)),
    ('div2k', 'val'): (make_div2k, (3, 512, 512), (3, 128, 128)),
    ('div2k', 'test'): (make_div2k, (3, 512, 516), (3, 128, 129)),
    ('sr_benchmarks', 'test'): (make_set5, (3, 48, 60), (3, 12, 15)),
    ('duts', 'train'): (make_duts, (1, 384, 384), (3, 384, 384)),
    ('duts', 'val'): (make_duts, (1, 40, 48), (3, 384, 384)),
    ('duts', 'test'): (make_duts, (1, 40, 48), (3, 384, 384)),
    ('coco_saliency', 'train'): (make_coco, (1, 384, 384), (3, 384, 384)),
    ('coco_saliency', 'test'): (make_coco, (1, 40, 48), (3, 384, 384)),
    ('bsds500', 'train'): (make_bsds500, (1, 320, 320), (3, 320, 320)),
    ('bsds500', 'val'): (make_bsds500, (1, 80, 120), (3, 80, 120)),
    ('bsds500', 'test'): (make_bsds500, (1, 80, 120), (3, 80, 120)),
}
every_loader = pytest.mark.parametrize('name, mode', LOADERS)


@pytest.fixture
def data(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / 'data'


@every_loader
def test_every_loader_gives_what_its_config_says(data, name, mode):
    make, image, condition = LOADERS[name, mode]
    make(data)
    cfg = dataloader_config(str(CONFIGS / f'{name}.py'), mode)
    item = build(cfg)[SeededIndex(0, 5) if mode == 'train' else 0]
    inputs, sample = item['inputs'], item['data_samples']
    assert {tensor.dtype for tensor in inputs.values()} == {torch.uint8}
    assert tuple(inputs['image'].shape) == tuple(sample.gt_img.shape) == image
    assert 'gt_img' in sample and Path(sample.img_path).is_file()
    if condition is None:
        assert inputs.keys() == {'image'}
        return
    assert tuple(inputs['condition'].shape) == condition
    scale = 4 if name in ('div2k', 'sr_benchmarks') else 1
    assert sample.target_shape == tuple(side * scale for side in condition[1:])


@every_loader
def test_a_layout_without_data_says_what_is_missing(data, name, mode):
    cfg = dataloader_config(str(CONFIGS / f'{name}.py'), mode)
    with pytest.raises(FileNotFoundError, match=r'data/\w+.*'):
        build(cfg)


@pytest.mark.parametrize('name, mode', [x for x in LOADERS if x[1] == 'test'])
def test_a_broken_image_of_a_test_is_named(data, name, mode):
    LOADERS[name, mode][0](data)
    dataset = build(dataloader_config(str(CONFIGS / f'{name}.py'), mode))
    path = Path(dataset.get_data_info(0)['img_path'])
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match=path.name):
        dataset[0]


BATCHES = dict(celeba_hq=48, celeba_hq_inpainting=48, div2k=12, duts=16, bsds500=16)


@pytest.mark.parametrize('name', BATCHES)
def test_batch_sizes_are_those_of_table_1(name):
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    assert cfg.train_dataloader.batch_size == BATCHES[name]


def test_the_index_names_what_there_is():
    index = yaml.safe_load((ROOT / 'dataset-index.yml').read_text())
    page = (ROOT / 'docs' / 'en' / 'user_guides' / 'datasets.md').read_text()
    configs = ''.join(path.read_text() for path in CONFIGS.glob('*.py'))
    for entry in index.values():
        assert {'name', 'url', 'size', 'license', 'data_root'} <= entry.keys()
        assert entry['url'] in page and entry['size'] in page
        assert f"'{entry['data_root']}" in configs
        if 'converter' in entry:
            converter = ROOT / entry['converter']
            assert converter.is_file() and converter.name in page


REAL: dict[tuple[str, str], Callable[[Path], tuple[dict, int]]] = {
    ('div2k', 'test'): lambda root: (dict(data_root=root / 'DIV2K'), 2),
    ('duts', 'train'): lambda root: (dict(data_root=root / 'DUTS/DUTS-TR'), 800),
    ('duts', 'test'): lambda root: (dict(data_root=root / 'DUTS/DUTS-TE'), 300),
    ('bsds500', 'test'): lambda root: (dict(data_root=root / 'BSDS500/data'), 200),
    ('sr_benchmarks', 'test'): lambda root: (dict(data_root=root / 'SR_benchmark'), 5),
    ('celeba_hq', 'train'): lambda root: (dict(data_root=root / 'celeba_hq'), 800),
}


@pytest.mark.parametrize('name, mode', REAL)
def test_every_loader_reads_real_files(data_root, name, mode):
    change, count = REAL[name, mode](data_root)
    cfg = dataloader_config(str(CONFIGS / f'{name}.py'), mode)
    cfg.dataset.update({key: str(value) for key, value in change.items()})
    dataset = build(cfg)
    assert len(dataset) == count
    for index in evenly_spaced(count, 3):
        item = dataset[index]
        assert item['data_samples'].gt_img.float().std() > 1


# Looking at them


def browse(monkeypatch, *args: object) -> int:
    path = ROOT / 'tools' / 'analysis_tools' / 'browse_dataset.py'
    monkeypatch.setattr(sys, 'argv', [str(path), *map(str, args)])
    try:
        runpy.run_path(str(path), run_name='__main__')
    except SystemExit as end:
        return end.code or 0
    return 0


def test_images_show_the_input_of_the_model(data, monkeypatch, capsys):
    make_celeba_hq(data)
    config = CONFIGS / 'celeba_hq_inpainting.py'
    assert browse(monkeypatch, config, '--mode', 'test', '--out', 'samples') == 0
    (path,) = Path('samples').iterdir()
    image = np.array(Image.open(path))[22:]
    assert image.shape == (256, 3 * 256 + 2 * 4, 3)
    condition, gt, mask = (image[:, x : x + 256] for x in (0, 260, 520))
    assert np.array_equal(gt, draw_photo(2, 256, 256))
    assert np.array_equal(condition, np.where(mask == 255, 0, gt))
    assert '1 items' in capsys.readouterr().out


def test_steps_are_timed(data, monkeypatch, capsys):
    make_duts(data)
    config = CONFIGS / 'duts.py'
    options = ['--cfg-options', 'train_dataloader.num_workers=0']
    options.append('train_dataloader.persistent_workers=False')
    options.append('train_dataloader.batch_size=2')
    assert browse(monkeypatch, config, '--timing', '--number', 4, *options) == 0
    report = capsys.readouterr().out
    for step in ('LoadImages', 'ResizeTo', 'RandomFlip', 'PackDiffusionInputs', '100%'):
        assert step in report
    assert 'dataloader, 0 workers, batches of 2' in report


def test_times_add_up():
    class Slow:
        def __call__(self, results: dict) -> dict:
            time.sleep(0.01)
            return results

    photos = ROOT / 'docs' / 'en' / '_static'
    dataset = ImageDataset(str(photos), pipeline=[Slow()])
    seconds = time_transforms(dataset, 3)['Slow']
    assert len(seconds) == min(3, len(dataset)) and seconds.min() >= 0.01


def test_what_cannot_be_browsed_is_reported(monkeypatch, capsys):
    config = CONFIGS / 'sr_benchmarks.py'
    assert browse(monkeypatch, config, '--mode', 'val', '--timing') == 1
    assert "no val_dataloader; it has ['test_dataloader']" in capsys.readouterr().err
    assert browse(monkeypatch, config, '--mode', 'test') == 1
    assert 'Nothing to do' in capsys.readouterr().err
    assert browse(monkeypatch, 'no.py', '--timing') == 1
    assert 'Config not found: no.py' in capsys.readouterr().err
