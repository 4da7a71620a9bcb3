"""Sampling modes: windows that are blended, and the whole image at any size."""

import pytest
import torch
from torch import nn

from mmadm.diffusion import ADMSampler
from mmadm.models import ADM, ConvEncoder, DiffusionPreprocessor, PixelStage
from mmadm.structures import DiffusionSample

from .test_adm import make_data, make_model, predictions, spoil

SLIDE = dict(mode='slide', crop=8, stride=4)
CHAINS = dict(SLIDE, mode='slide_chains')
BOTH = pytest.mark.parametrize('mode', [SLIDE, CHAINS], ids=['slide', 'chains'])


class Pixelwise(nn.Module):
    """A head whose outputs depend on one pixel each."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.in_channels = channels
        self.mix = nn.Conv2d(2 * channels, 2 * channels, 1)

    def forward(self, x, c_noise, features):
        scale = x.shape[-1] // features[0].shape[-1]
        enlarged = features[0].repeat_interleave(scale, -1).repeat_interleave(scale, -2)
        both = self.mix(torch.cat([x, enlarged], dim=1))
        return (both * (1 + 0.1 * c_noise.view(-1, 1, 1, 1))).chunk(2, dim=1)


class Same(nn.Module):
    """The condition is its own feature map; records the shapes of its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple] = []

    def forward(self, condition):
        self.seen.append(tuple(condition.shape))
        return (condition,)


def make_pixelwise(test_cfg: dict, **changes) -> ADM:
    torch.manual_seed(0)
    return ADM(
        head=Pixelwise(),
        condition_encoder=Same(),
        test_cfg=dict(num_steps=3, **test_cfg),
        **changes,
    )


def sample(model: ADM, size=(21, 30), count: int = 2, scale: int = 1) -> torch.Tensor:
    samples = [DiffusionSample(metainfo=dict(sample_idx=i)) for i in range(count)]
    small = [side // scale for side in model.data_preprocessor.padded(size)]
    rng = torch.Generator().manual_seed(3)
    condition = torch.rand(count, 3, *small, generator=rng)
    with torch.no_grad():
        return model.eval().sample(size, samples, condition)


@BOTH
@pytest.mark.parametrize('blend', ['linear', 'mean'])
@pytest.mark.parametrize('size', [(21, 30), (5, 19), (8, 8), (3, 4)])
def test_where_neighbours_do_not_matter_windows_change_nothing(mode, blend, size):
    # Far from the ends of the range, where single chains are clamped.
    sampler = dict(type=ADMSampler, clip=0.9)
    whole = sample(make_pixelwise(dict(mode='whole'), sampler=sampler), size)
    pieces = sample(make_pixelwise(dict(mode, blend=blend), sampler=sampler), size)
    torch.testing.assert_close(pieces, whole, atol=1e-5, rtol=0)


@BOTH
def test_windows_fall_on_whole_pixels_of_a_small_condition(mode):
    """4x super-resolution in patches of 2: cells of 4 pixels of the prediction."""
    changes = dict(
        sampler=dict(type=ADMSampler, clip=0.9),
        data_preprocessor=dict(
            type=DiffusionPreprocessor, size_divisor=2, condition_scale=4
        ),
    )
    whole = make_pixelwise(dict(mode='whole'), **changes)
    pieces = make_pixelwise(dict(mode, crop=16, stride=12), **changes)
    expected = sample(whole, (52, 24), scale=4)
    assert expected.shape == (2, 3, 52, 24)
    prediction = sample(pieces, (52, 24), scale=4)
    torch.testing.assert_close(prediction, expected, atol=1e-5, rtol=0)
    assert set(pieces.condition_encoder.seen) == {(2, 3, 4, 4)}


@BOTH
@pytest.mark.parametrize('batch', [1, 4, 100])
def test_each_window_of_the_condition_is_encoded_once(mode, batch):
    model = make_pixelwise(dict(mode, batch=batch))
    sample(model, (21, 30))
    # ceil((21 - 8) / 4) + 1 = 5 by ceil((30 - 8) / 4) + 1 = 7, of two images.
    seen = model.condition_encoder.seen
    assert sum(shape[0] for shape in seen) == 2 * 35
    assert len(seen) == -(-35 // batch)
    assert {shape[1:] for shape in seen} == {(3, 8, 8)}


@BOTH
def test_the_image_does_not_depend_on_how_windows_are_batched(mode):
    results = []
    for batch in (1, 3, 50):
        model = make_model(test_cfg=dict(mode, batch=batch, num_steps=2))
        results.append(predictions(model, make_data(2, (13, 19))))
    for others in results[1:]:
        for one, other in zip(results[0], others):
            assert (one.int() - other.int()).abs().max() <= 1


@BOTH
def test_the_image_does_not_depend_on_the_rest_of_the_batch(mode):
    model = make_model(test_cfg=dict(mode, batch=3, num_steps=2))
    data = make_data(2, (13, 19))
    together = predictions(model, data)
    alone = dict(
        inputs={key: value[1:] for key, value in data['inputs'].items()},
        data_samples=data['data_samples'][1:],
    )
    assert (predictions(model, alone)[0].int() - together[1].int()).abs().max() <= 1


def test_windows_see_only_their_part_of_the_image():
    """A network predicts another image in windows, and the same in one window."""
    data = make_data(1, (13, 19))
    whole, wide, windows = (
        predictions(make_model(test_cfg=dict(options, num_steps=2)), data)[0]
        for options in ({}, dict(mode='slide', crop=32, stride=32), SLIDE)
    )
    assert torch.equal(whole, wide)
    assert not torch.equal(whole, windows)
    assert windows.shape == (3, 13, 19)


def make_jumpy(test_cfg: dict) -> ADM:
    """A model that predicts the mean of the condition in each window."""
    model = make_pixelwise(test_cfg)
    model.head.forward = lambda x, c_noise, features: (
        -features[0].mean((1, 2, 3), keepdim=True).expand_as(x),
        torch.zeros_like(x),
    )
    model.preconditioner = lambda network, process, x_t, t: network(
        x_t, torch.tensor([t])
    )
    model.sampler = lambda denoise, process, noise, **_: -denoise(noise(), 1.0)[0]
    return model


def paint(model: ADM, condition: torch.Tensor) -> torch.Tensor:
    samples = [DiffusionSample(metainfo=dict(sample_idx=0))]
    return model.sample(condition.shape[-2:], samples, condition)


@BOTH
def test_a_linear_blend_hides_seams_where_a_mean_shows_them(mode):
    condition = torch.zeros(1, 3, 16, 64)
    condition[..., 32:] = 0.8
    steps = {
        blend: paint(make_jumpy(dict(mode, crop=16, stride=8, blend=blend)), condition)
        .diff(dim=-1)
        .max()
        for blend in ('linear', 'mean')
    }
    assert steps['mean'] > 0.1
    assert steps['linear'] < 0.3 * steps['mean']


@BOTH
def test_a_constant_image_stays_constant(mode):
    condition = torch.full((1, 3, 21, 30), 0.3)
    torch.testing.assert_close(paint(make_jumpy(mode), condition), condition)


def test_single_chains_are_kept_in_range_before_they_are_averaged():
    """Else a window with too large values would dominate the others."""
    condition = torch.full((1, 3, 8, 12), 0.5)
    condition[..., 8:] = 5.0
    # The second window has the mean (0.5 + 5) / 2, which is kept at 1.
    prediction = paint(make_jumpy(dict(CHAINS, blend='mean')), condition)
    expected = torch.tensor([0.5] * 4 + [0.75] * 4 + [1.0] * 4)
    torch.testing.assert_close(prediction, expected.expand(1, 3, 8, 12))


@BOTH
def test_known_pixels_are_pasted_in_windows_too(mode):
    model, data = make_model(test_cfg=dict(mode, num_steps=1)), make_data(1)
    (item,) = data['data_samples']
    item.mask = torch.zeros(1, 17, 22, dtype=torch.uint8)
    item.mask[:, 4:9, 3:11] = 1
    item.condition = data['inputs']['condition'][0]
    prediction = predictions(model, data)[0]
    known = ~item.mask.bool().expand_as(prediction)
    assert torch.equal(prediction[known], item.condition[known])
    assert not torch.equal(prediction, item.condition)


@BOTH
def test_outputs_that_are_not_finite_are_refused_in_windows_too(mode):
    model = make_model(
        sampler=dict(type=ADMSampler, clip=1.0), test_cfg=dict(mode, num_steps=2)
    )
    spoil(model, float('inf'), member=0, step=4)
    with pytest.raises(ValueError, match=r'for sample 0 has NaN or infinite'):
        predictions(model, make_data(1, (13, 19)))


@BOTH
def test_unconditional_images_are_drawn_in_windows_too(mode):
    head = dict(condition_channels=None)
    model = make_model(head=head, encoder=None, test_cfg=dict(mode, num_steps=2))
    samples = [DiffusionSample(metainfo=dict(sample_idx=0, target_shape=(13, 19)))]
    (prediction,) = model.eval().predict([], samples)
    assert prediction.pred_img.shape == (3, 13, 19)


@pytest.mark.parametrize('size', [(1, 1), (3, 50), (61, 47)])
@pytest.mark.parametrize('mode', [dict(mode='whole'), dict(mode='slide')])
def test_images_of_any_size_keep_their_size(size, mode):
    if mode['mode'] == 'slide':
        mode = dict(mode, crop=16, stride=8, batch=2)
    model = make_model(
        head=dict(in_channels=48, out_channels=(48, 48)),
        first_stage=dict(type=PixelStage, patch=4),
        data_preprocessor=dict(type=DiffusionPreprocessor, size_divisor=4),
        test_cfg=dict(mode, num_steps=1),
    )
    assert predictions(model, make_data(1, size))[0].shape == (3, *size)


def test_a_callback_sees_the_steps_of_sliding_windows():
    model, data = make_model(test_cfg=dict(SLIDE, num_steps=3)), make_data(1, (13, 19))
    inputs = model.data_preprocessor(data)
    seen = []
    model.eval().predict(
        inputs['inputs']['condition'],
        inputs['data_samples'],
        callback=lambda i, t, x_t, x0: seen.append(x0.shape),
    )
    assert seen == [(1, 3, 13, 19)] * 3
    assert model.sampling_mode.has_trajectory


def test_single_chains_have_no_trajectory_of_the_image():
    model, data = make_model(test_cfg=CHAINS), make_data(1)
    inputs = model.data_preprocessor(data)
    assert not model.sampling_mode.has_trajectory
    with pytest.raises(
        ValueError, match=r"each window has a sampling traj.*mode='slide'"
    ):
        model.predict(
            inputs['inputs']['condition'], inputs['data_samples'], lambda *_: None
        )


@pytest.mark.parametrize(
    ('test_cfg', 'message'),
    [
        (dict(mode='slides'), r"mode='slides'.*slide_chains"),
        (dict(mode='slide', crop=8), r"\['crop'\].*needs \['crop', 'stride'\]"),
        (dict(SLIDE, step=3), r"got \['crop', 'step', 'stride'\].*accepts"),
        (dict(crop=8), r"mode='whole' got \['crop'\]"),
        (dict(SLIDE, crop=6), r'crop=6, stride=4.*cells of 4.*multiples of 4'),
        (dict(SLIDE, stride=12), r'crop=8, stride=12.*between 1 and crop'),
        (dict(SLIDE, blend='hann'), r"blend='hann'.*linear"),
        (dict(SLIDE, batch=0), r'batch=0.*Give 1'),
    ],
)
def test_windows_that_do_not_fit_are_refused_at_once(test_cfg, message):
    with pytest.raises(ValueError, match=message):
        make_model(
            data_preprocessor=dict(type=DiffusionPreprocessor, size_divisor=4),
            test_cfg=test_cfg,
        )


def test_encoders_have_out_channels_which_the_model_compares():
    assert ConvEncoder(channels=(8, 16)).out_channels == (8, 16)
    with pytest.raises(ValueError, match=r'\(8, 16\), but condition_encoder=None'):
        make_model(encoder=None)
