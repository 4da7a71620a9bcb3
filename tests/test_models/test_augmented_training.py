"""The labelled augmentation from the config to the head."""

import pytest
import torch
from torch import Tensor

from mmadm.models import (
    ADM,
    DiffusionPreprocessor,
    DualDecoderUNet,
    LabelledAugmentation,
)
from mmadm.structures import DiffusionSample


def make_model(**head) -> ADM:
    torch.manual_seed(0)
    return ADM(
        head=dict(
            type=DualDecoderUNet,
            base_channels=8,
            channel_mult=(1, 1),
            num_blocks=1,
            attention_levels=(),
            augment_dim=LabelledAugmentation.num_labels,
            **head,
        ),
        data_preprocessor=dict(
            type=DiffusionPreprocessor,
            augmentation=dict(type=LabelledAugmentation, probability=0.5),
        ),
    )


def make_data(seeds: range) -> dict:
    generator = torch.Generator().manual_seed(0)
    shape = (len(seeds), 3, 16, 16)
    images = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
    samples = [DiffusionSample(metainfo=dict(seed=seed)) for seed in seeds]
    return dict(inputs=dict(image=list(images)), data_samples=samples)


def prepared(model: ADM, seeds: range, training: bool = True) -> dict:
    return model.data_preprocessor(make_data(seeds), training)['inputs']


def test_training_images_are_moved_and_labelled():
    inputs = prepared(make_model(), range(8))
    original = torch.stack(make_data(range(8))['inputs']['image']).float() / 127.5 - 1
    assert inputs['augment_labels'].shape == (8, 9)
    moved = inputs['augment_labels'].abs().sum(1) > 0
    changed = (inputs['image'] - original).abs().flatten(1).amax(1) > 0
    assert moved.any() and torch.equal(moved, changed)


def test_test_images_are_left_alone():
    inputs = prepared(make_model(), range(8), training=False)
    assert 'augment_labels' not in inputs
    expected = make_data(range(8))['inputs']['image'][5].float() / 127.5 - 1
    assert torch.equal(inputs['image'][5], expected)


def test_an_image_is_augmented_by_its_own_seed():
    model = make_model()
    (whole, part) = (prepared(model, range(count))['image'] for count in (8, 3))
    torch.testing.assert_close(whole[:3], part)


def test_the_augmentation_does_not_depend_on_the_time():
    """Both follow from the sample's seed, but not from the same numbers of it."""
    model = make_model()
    flipped = prepared(model, range(400))['augment_labels'][:, 0]
    times: list[Tensor] = []

    def remember(x_t, t, features, augment_labels):
        times.append(t)
        raise StopIteration

    model.denoise = remember
    with pytest.raises(StopIteration):
        model(**model.data_preprocessor(make_data(range(400)), True), mode='loss')
    correlation = torch.corrcoef(torch.stack([flipped, times[0].float()]))[0, 1]
    assert abs(correlation) < 0.2  # 4 standard deviations; shared numbers give 0.87


def test_labels_reach_the_head():
    model = make_model()
    for parameter in model.head.parameters():
        if not parameter.any():  # layers that are initialised with zeros
            torch.nn.init.normal_(parameter, std=0.1)
    data = model.data_preprocessor(make_data(range(8)), training=True)
    with_labels = model(**data, mode='loss')['loss_noise']
    data['inputs']['augment_labels'] = 0 * data['inputs']['augment_labels']
    without = model(**data, mode='loss')['loss_noise']
    assert not torch.allclose(with_labels, without)
