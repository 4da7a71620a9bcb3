"""Padding, normalisation and the conversion to 8 bits."""

import pytest
import torch
import torch.nn.functional as F

from mmadm.models import DiffusionPreprocessor
from mmadm.structures import DiffusionSample

SIZES = [(1, 1), (1, 40), (3, 50), (17, 22), (31, 33), (32, 64), (481, 321)]


def draw(channels: int, *size: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(256, (channels, *size), generator=generator).byte()


def sample_of(size, **meta) -> DiffusionSample:
    return DiffusionSample(metainfo=dict(target_shape=tuple(size), **meta))


def padded(preprocessor: DiffusionPreprocessor, **inputs: torch.Tensor) -> dict:
    image = inputs.get('image')
    scale = preprocessor.condition_scale
    small = inputs.get('condition', image).shape[-2:]
    size = image.shape[-2:] if image is not None else [side * scale for side in small]
    data = dict(
        inputs={key: [value] for key, value in inputs.items()},
        data_samples=[sample_of(size)],
    )
    return {k: v[0] for k, v in preprocessor(data)['inputs'].items() if v}


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('divisor', [1, 4, 32])
def test_margins_are_cropped_again(size, divisor):
    preprocessor = DiffusionPreprocessor(size_divisor=divisor)
    image = draw(3, *size)
    x = padded(preprocessor, image=image)['image']
    assert all(side % divisor == 0 for side in x.shape[-2:])
    assert torch.equal(preprocessor.to_uint8(x, sample_of(size)), image)


@pytest.mark.parametrize('size', SIZES)
def test_images_are_padded_equally_on_all_sides_by_reflection(size):
    height, width = size
    x = padded(DiffusionPreprocessor(size_divisor=32), image=draw(3, *size))['image']
    top, left = ((side - s) // 2 for side, s in zip(x.shape[-2:], size))
    for dim, start, side in ((-2, top, height), (-1, left, width)):
        behind = x.shape[dim] - start - side
        assert behind - start in (0, 1)
        for margin, inside in ((start, start), (behind, start + side)):
            reach = min(margin, side)
            first = x.narrow(dim, inside - reach, 2 * reach)
            assert torch.equal(first, first.flip(dim))


@pytest.mark.parametrize('size', [(32, 64), (64, 96)])
def test_sizes_that_fit_are_not_padded(size):
    image = draw(3, *size)
    x = padded(DiffusionPreprocessor(size_divisor=32), image=image)['image']
    assert torch.equal(x, image.float() / 127.5 - 1)


@pytest.mark.parametrize('size', [(1, 1), (3, 5), (13, 18)])
@pytest.mark.parametrize('divisor', [1, 6, 32])
def test_a_small_condition_stays_aligned_with_its_image(size, divisor):
    """4x super-resolution: each pixel of the condition lies on its 4 x 4 pixels."""
    preprocessor = DiffusionPreprocessor(size_divisor=divisor, condition_scale=4)
    condition = draw(3, *size)
    image = condition.repeat_interleave(4, -1).repeat_interleave(4, -2)
    x = padded(preprocessor, image=image, condition=condition)
    enlarged = x['condition'].repeat_interleave(4, -1).repeat_interleave(4, -2)
    torch.testing.assert_close(x['image'], enlarged)
    target = sample_of(image.shape[-2:])
    assert torch.equal(preprocessor.to_uint8(x['image'], target), image)


@pytest.mark.parametrize('size', [(70, 75), (81, 97)])
def test_the_border_of_a_constant_texture_is_like_its_interior(size):
    """Repeated border pixels would be stripes: half of the gradients would be missing.

    The network here is the mean horizontal and vertical gradient of 9 x 9 pixels.
    """
    preprocessor = DiffusionPreprocessor(size_divisor=32)
    x = padded(preprocessor, condition=draw(1, *size))['condition'][None]
    x = F.pad(x, (0, 1, 0, 1))
    gradients = [x.diff(dim=-1)[..., :-1, :], x.diff(dim=-2)[..., :-1]]
    energy = F.avg_pool2d(torch.cat(gradients, dim=1).abs(), 9, 1, 4)[0]
    energy = energy / energy[:, 16:-16, 16:-16].mean()
    energy = preprocessor.to_uint8(energy - 1, sample_of(size)) / 127.5
    for border in (energy[:, 0], energy[:, -1], energy[..., 0], energy[..., -1]):
        assert (border.mean(dim=1) - 1).abs().max() < 0.2


@pytest.mark.parametrize('size', [(17, 22), (3, 5)])
def test_masks_are_pasted_where_they_belong(size):
    preprocessor = DiffusionPreprocessor(size_divisor=32)
    image, known = draw(3, *size), 255 - draw(3, *size)
    sample = sample_of(size)
    sample.mask = torch.zeros(1, *size, dtype=torch.uint8)
    sample.mask[:, 1:3, 2:4] = 1
    sample.condition = known
    x = padded(preprocessor, image=image)['image']
    expected = torch.where(sample.mask.bool(), image, known)
    assert torch.equal(preprocessor.to_uint8(x, sample), expected)


def test_eight_bits_are_rounded_never_truncated():
    levels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
    image = levels.float() / 127.5 - 1
    assert torch.equal(
        DiffusionPreprocessor().to_uint8(image, sample_of((16, 16))), levels
    )


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
@pytest.mark.parametrize(
    ('meta', 'name'), [(dict(img_path='a/b.png'), 'a/b.png'), (dict(), 'sample 7')]
)
def test_values_that_are_not_finite_are_refused_with_the_sample(value, meta, name):
    image = torch.zeros(1, 4, 4)
    image[0, 3, 1] = value
    sample = sample_of((4, 4), sample_idx=7, **meta)
    with pytest.raises(ValueError, match=rf'for {name} has NaN or infinite.*--amp'):
        DiffusionPreprocessor().to_uint8(image, sample)


def test_statistics_of_other_channels_than_the_condition_has_are_refused():
    """A mask is a fourth channel; a grey condition would silently become three."""
    preprocessor = DiffusionPreprocessor(mean=(120.0,) * 3, std=(60.0,) * 3)
    for channels in (4, 1):
        with pytest.raises(ValueError, match=rf'of 3 channels.*has {channels}\..*mask'):
            padded(preprocessor, condition=draw(channels, 4, 4))
    assert padded(preprocessor, condition=draw(3, 4, 4))['condition'].shape[0] == 3


def test_training_images_of_several_sizes_are_refused_by_name():
    data = dict(
        inputs=dict(image=[draw(3, 8, 8), draw(3, 8, 12)]),
        data_samples=[sample_of((8, 8)), sample_of((8, 12))],
    )
    with pytest.raises(ValueError, match=r'one size.*\(3, 8, 12\).*crop or a resize'):
        DiffusionPreprocessor()(data, True)


@pytest.mark.parametrize(
    'options',
    [
        dict(mean=(120.0,) * 3),
        dict(std=(0.0,)),
        dict(size_divisor=0),
        dict(condition_scale=-4),
    ],
)
def test_statistics_and_factors_that_make_no_sense_are_refused(options):
    with pytest.raises(ValueError, match=r'one positive std per mean.*defaults'):
        DiffusionPreprocessor(**options)
