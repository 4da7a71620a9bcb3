"""Frechet distance over SqueezeNet's features."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from mmadm.evaluation import (
    FrechetDistance,
    InceptionFeatures,
    SqueezeNetFeatures,
    frechet_distance,
    measure_reference,
    score_images,
)
from mmadm.evaluation.frechet import StreamingMoments
from mmadm.registry import METRICS
from tests.conftest import draw_photo

CAFFE = 'weights/squeezenet_v1.1_imagenet_fp16.npz'


def draw(count: int, first: int = 0, side: int = 32) -> list[np.ndarray]:
    return [draw_photo(first + i, side, side) for i in range(count)]


def tensors(images: list[np.ndarray]) -> list[Tensor]:
    return [torch.from_numpy(image.transpose(2, 0, 1).copy()) for image in images]


def write(folder, images: list[np.ndarray]) -> str:
    folder.mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / f'{i}.png')
    return str(folder)


def statistics(images: list[np.ndarray]):
    moments = StreamingMoments(512)
    moments.add(SqueezeNetFeatures('random')(tensors(images))[0])
    return moments.statistics()


def test_a_folder_is_the_reference(tmp_path):
    folder = write(tmp_path / 'real', draw(5))
    (tmp_path / 'real' / '.ipynb_checkpoints').mkdir()
    Image.new('RGB', (32, 32)).save(tmp_path / 'real' / '.ipynb_checkpoints' / 'x.png')
    metric = METRICS.build(
        dict(type='FrechetDistance', reference=folder, weights='random')
    )
    key = 'frechet_squeezenet5_random_weights'
    assert score_images(metric, draw(5)) == {key: pytest.approx(0, abs=1e-9)}
    other = draw(5, first=50)
    expected = frechet_distance(statistics(other), statistics(draw(5)))
    assert score_images(metric, other)[key] == pytest.approx(expected, rel=1e-4)
    assert expected > 1e-3


def test_without_a_reference_the_ground_truth_of_the_samples_is_it():
    metric = FrechetDistance(weights='random')
    pairs = zip(tensors(draw(4, first=9)), tensors(draw(4)))
    metric.process(
        None,
        [dict(sample_idx=i, pred_img=p, gt_img=g) for i, (p, g) in enumerate(pairs)],
    )
    expected = frechet_distance(statistics(draw(4, first=9)), statistics(draw(4)))
    assert metric.evaluate(4) == {
        'frechet_paired_squeezenet4_random_weights': pytest.approx(expected, rel=1e-4)
    }


def test_the_images_of_a_folder_can_be_resized_and_sizes_must_agree(tmp_path):
    folder = write(tmp_path / 'real', draw(3, side=64))
    metric = FrechetDistance(folder, reference_size=32, weights='random')
    score_images(metric, draw(3))
    metric = FrechetDistance(folder, weights='random')
    with pytest.raises(ValueError, match=r'size 32x32.*of images of 64x64'):
        score_images(metric, draw(3))
    Image.new('RGB', (40, 30)).save(tmp_path / 'real' / 'wide.png')
    with pytest.raises(ValueError, match=r'distort .*wide\.png'):
        FrechetDistance(folder, reference_size=32, weights='random')


def test_statistics_of_another_network_are_refused(tmp_path):
    path = str(tmp_path / 'x.npz')
    measure_reference(draw(3), 3, InceptionFeatures('random')).save(path)
    with pytest.raises(ValueError, match=r'extractor=.*inception'):
        FrechetDistance(path, weights='random')
    with pytest.raises(ValueError, match="Unknown model: 'vgg'"):
        FrechetDistance(network='vgg')
    with pytest.raises(
        FileNotFoundError, match=r'SqueezeNet weights not found: a\.pth'
    ):
        FrechetDistance(weights='a.pth')


def test_caffes_weights_classify_rightly_with_torchvisions_input(data_root):
    extractor = SqueezeNetFeatures(str(data_root / CAFFE))
    names = (data_root / 'weights' / 'imagenet_synset_words.txt').read_text()
    with np.load(data_root / CAFFE) as file:
        weight, bias = (torch.tensor(file[f'conv10.{k}']) for k in ('weight', 'bias'))
    from skimage.data import chelsea

    (cat,) = tensors([chelsea()[:, 75:375]])
    x = torch.nn.functional.interpolate(cat[None] / 255, (224, 224))
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    features = extractor.network((x - mean) / std)
    maps = torch.nn.functional.conv2d(features, weight.float(), bias).relu()
    best = int(maps.mean((0, 2, 3)).argmax())
    assert 'cat' in names.splitlines()[best]


def test_distance_grows_with_corruption(data_root, tmp_path):
    weights = str(data_root / CAFFE)
    faces = sorted((data_root / 'celeba_hq_128').glob('*.webp'))[:60]
    images = [np.array(Image.open(path).convert('RGB')) for path in faces]
    metric = FrechetDistance(write(tmp_path / 'real', images[:30]), weights=weights)
    rng = np.random.default_rng(0)
    scores = [
        score_images(
            metric,
            [
                np.clip(x + rng.normal(0, noise, x.shape), 0, 255).astype(np.uint8)
                for x in images[30:]
            ],
        )['frechet_squeezenet30']
        for noise in (0, 20, 60)
    ]
    assert 0 < scores[0] < scores[1] < scores[2]
