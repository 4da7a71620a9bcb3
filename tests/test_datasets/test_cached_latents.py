"""Cached latents equal those of the training, and belong to its images."""

import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmcv.transforms import CenterCrop, RandomFlip
from PIL import Image
from torch import Tensor

from mmadm.apis import load_config
from mmadm.datasets import CachedLatents, ImageDataset, SeededIndex
from mmadm.datasets.conversion.latents import cache_latents
from mmadm.datasets.transforms import (
    LoadImages,
    MaskedCondition,
    PackDiffusionInputs,
    RandomCrop,
    RandomMask,
)
from mmadm.engine import LatentCacheHook
from mmadm.models import (
    ADM,
    ConvEncoder,
    DiffusionPreprocessor,
    DualDecoderUNet,
    KLAutoencoder,
)
from mmadm.utils.latent_cache import LatentCache, weights_hash

ROOT = Path(__file__).parents[2]
STAGE = dict(base_channels=8, channel_mult=(1, 2), num_blocks=1)


def make_stage(seed: int = 0) -> KLAutoencoder:
    torch.manual_seed(seed)
    return KLAutoencoder(**STAGE, scale_factor=0.7).eval()


def make_dataset(folder: Path, *transforms, condition: bool = False) -> ImageDataset:
    mask = [RandomMask(kind='free_form'), MaskedCondition()] if condition else []
    crop = transforms or (CenterCrop(crop_size=32),)
    pack = PackDiffusionInputs(condition='condition' if condition else None)
    flip = RandomFlip(prob=0.5)
    pipeline = [LoadImages(), *crop, flip, *mask, pack]
    return ImageDataset(data_root=str(folder), pipeline=pipeline)


def encoder(stage: KLAutoencoder):
    return lambda images: stage.moments(images.float() / 127.5 - 1)


@pytest.fixture
def make_cache(photo_folder, tmp_path):
    """Write a cache of the five photos; its folder."""

    def make(stage: KLAutoencoder, folder: str = 'cache', encode=None, **options):
        encode = encode or encoder(stage)
        dataset = make_dataset(photo_folder)
        path = tmp_path / folder
        return cache_latents(dataset, encode, weights_hash(stage), path, 2, **options)

    return make


def batch(dataset, count: int = 6) -> dict:
    """The first items of a stream, as the data loader hands them over."""
    items = [dataset[SeededIndex(i % len(dataset), 100 + i)] for i in range(count)]
    keys = items[0]['inputs'].keys()
    inputs = {key: [item['inputs'][key] for item in items] for key in keys}
    return dict(inputs=inputs, data_samples=[item['data_samples'] for item in items])


def losses(model: ADM, data: dict) -> dict[str, Tensor]:
    data = model.data_preprocessor(data, training=True)
    return model(**data, mode='loss')


@pytest.mark.parametrize('conditional', [False, True], ids=['alone', 'condition'])
def test_training_goes_as_it_would_without_the_cache(
    make_cache, photo_folder, conditional
):
    """The same flips, conditions, times, draws of the posterior and noise."""
    stage = make_stage()
    images = make_dataset(photo_folder, condition=conditional)
    cached = CachedLatents(images, make_cache(stage))
    encoder = dict(type=ConvEncoder, channels=(8, 8)) if conditional else None
    torch.manual_seed(1)
    model = ADM(
        head=dict(
            type=DualDecoderUNet,
            base_channels=8,
            channel_mult=(1, 1),
            num_blocks=1,
            attention_levels=(),
            condition_channels=(8, 8) if conditional else None,
        ),
        condition_encoder=encoder,
        first_stage=stage,
        data_preprocessor=dict(type=DiffusionPreprocessor, size_divisor=2),
    )
    data = batch(cached)
    flips = [sample.flip for sample in data['data_samples']]
    assert set(flips) == {True, False}
    assert 'image' not in data['inputs']
    expected, found = losses(model, batch(images)), losses(model, data)
    assert expected.keys() == found.keys()
    for key in expected:
        torch.testing.assert_close(found[key], expected[key], rtol=1e-4, atol=1e-6)


def test_moments_are_those_of_the_image_and_of_its_mirror_image(
    make_cache, photo_folder
):
    stage = make_stage()
    cache = LatentCache(make_cache(stage))
    photos = sorted(photo_folder.iterdir())
    photo = np.asarray(Image.open(photos[3]))[4:36, 8:40]
    for mirrored, pixels in ((False, photo), (True, photo[:, ::-1])):
        image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
        with torch.no_grad():
            expected = encoder(stage)(image[None])[0]
        found = torch.from_numpy(cache[3, mirrored])
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_half_precision_takes_half_the_space(make_cache):
    whole, half = (
        LatentCache(make_cache(make_stage(), dtype, dtype=dtype))
        for dtype in ('float32', 'float16')
    )
    assert half.moments.nbytes * 2 == whole.moments.nbytes
    assert half[2, True].dtype == np.float32
    np.testing.assert_allclose(half[2, True], whole[2, True], rtol=1e-3, atol=1e-3)


def test_unconditional_training_reads_no_image(make_cache, photo_folder):
    cached = CachedLatents(make_dataset(photo_folder), make_cache(make_stage()))
    for path in photo_folder.iterdir():
        path.unlink()
    assert len(batch(cached)['inputs']['moments']) == 6


def test_an_interrupted_cache_is_completed(make_cache, tmp_path):
    stage = make_stage()
    whole = LatentCache(make_cache(stage, 'whole'))
    encode, calls = encoder(stage), []

    def interrupted(images: Tensor) -> Tensor:
        calls.append(len(images))
        if len(calls) == 3:  # the first call is for the shape
            raise KeyboardInterrupt
        return encode(images)

    with pytest.raises(KeyboardInterrupt):
        make_cache(stage, 'parts', interrupted)
    with pytest.raises(FileNotFoundError, match=r'not complete.*continues'):
        LatentCache(tmp_path / 'parts')
    encoded = []

    def counted(images: Tensor) -> Tensor:
        encoded.append(len(images) // 2)
        return encode(images)

    parts = LatentCache(make_cache(stage, 'parts', counted))
    assert sum(encoded[1:]) == 3  # of five, two were done
    np.testing.assert_array_equal(parts.moments, whole.moments)


def test_a_kill_at_the_very_end_loses_nothing(make_cache, tmp_path):
    stage = make_stage()
    folder = make_cache(stage)
    record = folder / 'latents.json'
    progress = dict(json.loads(record.read_text()), done=5)
    (folder / '.progress.json').write_text(json.dumps(progress))
    record.unlink()
    make_cache(stage)
    assert LatentCache(folder).moments.shape == (5, 2, 6, 16, 16)
    assert sorted(path.name for path in folder.iterdir()) == [
        'latents.json',
        'moments.npy',
    ]


def test_a_folder_with_other_latents_is_left_alone(make_cache):
    folder = make_cache(make_stage())
    before = (folder / 'moments.npy').read_bytes()
    with pytest.raises(ValueError, match=r'other latents.*first_stage.*Remove'):
        make_cache(make_stage(seed=1))
    assert (folder / 'moments.npy').read_bytes() == before


def test_other_images_are_noticed(make_cache, photo_folder):
    folder = make_cache(make_stage())
    wide = CenterCrop(crop_size=(40, 32))
    with pytest.raises(ValueError, match=r'other images.*cache_latents.py'):
        CachedLatents(make_dataset(photo_folder, wide), folder)
    (photo_folder / 'photo_2.png').rename(photo_folder / 'photo_9.png')
    with pytest.raises(ValueError, match=r'other images'):
        CachedLatents(make_dataset(photo_folder), folder)


def test_an_image_that_is_edited_in_place_is_noticed(make_cache, photo_folder):
    """Also two of equal size that are exchanged, and an edit that keeps the size."""
    for i, path in enumerate(sorted(photo_folder.iterdir())):
        array = np.random.default_rng(i).integers(0, 256, (40, 48, 3), np.uint8)
        Image.fromarray(array).save(path, compress_level=0)
    folder = make_cache(make_stage())
    CachedLatents(make_dataset(photo_folder), folder)
    first, second = (photo_folder / f'photo_{i}.png' for i in (2, 3))
    contents = first.read_bytes(), second.read_bytes()
    assert len(contents[0]) == len(contents[1])
    for changed in (contents[::-1], (contents[0], contents[0])):
        for path, content in zip((first, second), changed):
            path.write_bytes(content)
        with pytest.raises(ValueError, match=r'other images.*content.*Remove'):
            CachedLatents(make_dataset(photo_folder), folder)
        with pytest.raises(ValueError, match=r'contains other latents.*images'):
            make_cache(make_stage())


def test_where_maps_are_encoded_their_files_count(tmp_path):
    for i in range(2):
        for kind in ('images', 'maps'):
            (tmp_path / kind).mkdir(exist_ok=True)
            Image.new('L', (32, 32), 40 * i).save(tmp_path / kind / f'{i}.png')

    def dataset() -> ImageDataset:
        pack = PackDiffusionInputs(image='gt_seg_map', condition='img')
        prefix = dict(img_path='images', seg_map_path='maps')
        return ImageDataset(str(tmp_path), prefix, pipeline=[LoadImages(), pack])

    def encode(images: Tensor) -> Tensor:
        return images.float().expand(-1, 2, -1, -1)

    folder = cache_latents(dataset(), encode, 'w', tmp_path / 'cache')
    CachedLatents(dataset(), folder)
    Image.new('L', (32, 32), 7).save(tmp_path / 'maps' / '1.png')
    with pytest.raises(ValueError, match='other images'):
        CachedLatents(dataset(), folder)


def test_a_damaged_image_is_not_replaced_by_another(make_cache, photo_folder):
    path = photo_folder / 'photo_3.png'
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=r'No latents of image 3\. .*photo_3\.png'):
        make_cache(make_stage())


@pytest.mark.parametrize('value, dtype', [(np.nan, 'float32'), (1e6, 'float16')])
def test_moments_that_are_not_finite_are_refused(photo_folder, tmp_path, value, dtype):
    def encode(images: Tensor) -> Tensor:
        return torch.full((len(images), 2, 4, 4), value)

    dataset = make_dataset(photo_folder)
    with pytest.raises(ValueError, match=rf'0 to 4 are NaN or infinite as {dtype}'):
        cache_latents(dataset, encode, 'w', tmp_path / 'cache', dtype=dtype)
    with pytest.raises(FileNotFoundError, match='not complete'):
        LatentCache(tmp_path / 'cache')


def test_impossible_numbers_are_refused(photo_folder, tmp_path):
    dataset = make_dataset(photo_folder)
    for options in (dict(batch_size=0), dict(num_workers=-1)):
        with pytest.raises(ValueError, match='is not possible'):
            cache_latents(dataset, None, '', tmp_path / 'cache', **options)


def test_random_images_are_refused(photo_folder, tmp_path):
    dataset = make_dataset(photo_folder, RandomCrop(size=32))
    with pytest.raises(ValueError, match=r'another seed.*RandomCrop.*CenterCrop'):
        cache_latents(dataset, encoder(make_stage()), '', tmp_path / 'cache')
    assert not (tmp_path / 'cache').exists()


def test_latents_of_another_first_stage_are_refused(make_cache, photo_folder):
    stage = make_stage()
    cached = CachedLatents(make_dataset(photo_folder), make_cache(stage))
    loader = SimpleNamespace(dataset=cached)
    runner = SimpleNamespace(
        train_dataloader=loader, model=SimpleNamespace(first_stage=stage)
    )
    LatentCacheHook().before_train(runner)
    with torch.no_grad():
        next(stage.parameters()).view(-1)[0] += 1e-3
    with pytest.raises(ValueError, match=r'another first stage.*checkpoint'):
        LatentCacheHook().before_train(runner)


@pytest.mark.parametrize(
    'content', [None, b'', np.zeros((3, 2, 6, 16, 16), np.float32), np.zeros(3)]
)
def test_a_damaged_file_is_noticed(make_cache, content):
    path = make_cache(make_stage()) / 'moments.npy'
    if isinstance(content, np.ndarray):
        np.save(path, content)
    else:
        path.write_bytes(path.read_bytes()[:3000] if content is None else content)
    with pytest.raises(ValueError, match=r'damaged.*moments\.npy.*Remove the folder'):
        LatentCache(path.parent)


@pytest.mark.parametrize('text', ['', '[]', '{"shape": [5]}'])
def test_a_damaged_record_is_noticed(make_cache, text):
    folder = make_cache(make_stage())
    (folder / 'latents.json').write_text(text)
    for use in (lambda: LatentCache(folder), lambda: make_cache(make_stage())):
        with pytest.raises(ValueError, match=r'damaged.*latents\.json.*Remove'):
            use()


CONFIG = """\
from mmengine.config import read_base

with read_base():
    from .adm_uncond_celebahq256 import *

from mmcv.transforms import CenterCrop

from mmadm.apis import load_config
from mmadm.datasets import CachedLatents

model.first_stage.update({stage})
model.head.update(base_channels=8, channel_mult=(1, 1), num_blocks=1)
model.head.update(attention_levels=())
train_dataloader.update(batch_size=2, num_workers=0, persistent_workers=False)
train_dataloader.dataset.update(data_root={folder!r})
train_dataloader.dataset.pipeline.insert(1, dict(type=CenterCrop, crop_size=32))
randomness = dict(seed=3)
"""


TOOL = ROOT / 'tools' / 'dataset_converters' / 'cache_latents.py'


def test_the_tool_writes_what_the_config_trains_on(photo_folder, tmp_path):
    shutil.copytree(ROOT / 'configs', tmp_path / 'configs')
    path = tmp_path / 'configs' / 'adm' / 'toy.py'
    stage = make_stage()
    torch.save(stage.state_dict(), tmp_path / 'stage.pth')
    options = dict(STAGE, checkpoint=str(tmp_path / 'stage.pth'))
    path.write_text(CONFIG.format(folder=str(photo_folder), stage=options))
    command = [sys.executable, str(TOOL), str(path), '--out', str(tmp_path / 'cache')]
    run = subprocess.run(
        [*command, '--num-workers', '0'], capture_output=True, text=True, cwd=ROOT
    )
    assert run.returncode == 0, run.stderr
    assert 'CachedLatents' in run.stdout
    cache = LatentCache(tmp_path / 'cache')
    assert cache.moments.shape == (5, 2, 6, 16, 16)
    assert cache.record['first_stage'] == weights_hash(stage)


def test_the_tool_refuses_first_stages_without_moments(toy_config):
    make_encoder = runpy.run_path(str(TOOL))['make_encoder']
    with pytest.raises(ValueError, match=r'ResidualStage has no moments.*KLAuto'):
        make_encoder(load_config(str(toy_config)), 'cpu')
