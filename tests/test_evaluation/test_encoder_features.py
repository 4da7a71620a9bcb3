"""Frechet distance over the encoder of a model in the box: nothing is downloaded."""

import numpy as np
import pytest
import torch

from mmadm.apis import ADMInferencer
from mmadm.evaluation import EncoderFeatures, FrechetDistance, score_images
from tests.conftest import draw_photo


@pytest.fixture(scope='module')
def extractor() -> EncoderFeatures:
    return EncoderFeatures('adm_edge_small')


def draw(count: int, noise: float = 0, first: int = 0) -> list[np.ndarray]:
    """Images of 32 x 32 pixels."""
    rng = np.random.default_rng(first)
    images = [draw_photo(first + i, 32, 32).astype(float) for i in range(count)]
    noisy = [x + rng.normal(0, noise, x.shape) for x in images]
    return [np.clip(x, 0, 255).astype(np.uint8) for x in noisy]


def test_the_features_are_those_of_the_trained_encoder(extractor):
    model = ADMInferencer('adm_edge_small', device='cpu').model
    image = torch.randint(256, (3, 64, 64), dtype=torch.uint8)
    sample = dict(inputs=dict(condition=[image]), data_samples=[])
    condition = model.data_preprocessor(sample)['inputs']['condition']
    with torch.no_grad():
        expected = model.encode_condition(torch.stack(condition))[-1].mean(dim=(2, 3))
    features, logits = extractor([image])
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-4)
    assert features.shape == (1, extractor.dim) and logits.numel() == 0


def test_a_dataset_is_the_reference_and_distances_grow_with_noise(photo_folder):
    reference = dict(
        type='ImageDataset',
        data_root=str(photo_folder),
        pipeline=[
            dict(type='LoadImages'),
            dict(type='ResizeTo', size=(32, 32)),
            dict(type='PackDiffusionInputs'),
        ],
    )
    metric = FrechetDistance(reference, network='adm_edge_small')
    scores = [score_images(metric, draw(5, noise)) for noise in (0, 30, 90)]
    # Never called FID.
    assert list(scores[0]) == ['frechet_adm_edge_small5']
    low, middle, high = (s['frechet_adm_edge_small5'] for s in scores)
    assert 0 <= low < middle < high


@pytest.mark.parametrize(
    ('model', 'message'),
    [('adm_sr_toy', 'no trained'), ('adm_uncond_cifar10', 'no trained')],
)
def test_a_model_without_a_trained_encoder_is_refused(model, message):
    with pytest.raises(ValueError, match=message):
        EncoderFeatures(model)
