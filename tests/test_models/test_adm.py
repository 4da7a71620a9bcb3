"""The model: Algorithm 1 and 2 around the networks."""

import copy

import pytest
import torch
from scipy.stats import kstest

from mmadm.diffusion import ADMProcess, ADMSampler, LinearAttenuation, LinearNoise
from mmadm.models import (
    ADM,
    ADMLoss,
    ConvEncoder,
    CrossAttentionFusion,
    DiffusionPreprocessor,
    DualDecoderUNet,
    FlipTTA,
    PixelStage,
    ResidualStage,
)
from mmadm.structures import DiffusionSample
from tests.oracles import ATTENUATION_CONFIGS


def make_model(**changes) -> ADM:
    torch.manual_seed(0)
    head = dict(
        type=DualDecoderUNet,
        base_channels=8,
        channel_mult=(1, 2),
        num_blocks=1,
        attention_levels=(1,),
        condition_channels=(8, 16),
    )
    head.update(changes.pop('head', {}))
    encoder = changes.pop('encoder', dict(type=ConvEncoder, channels=(8, 16)))
    model_type = changes.pop('model_type', ADM)
    model = model_type(head=head, condition_encoder=encoder, **changes)
    # Zero-initialised layers would hide what passes through them.
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return model


def make_data(count: int = 7, size=(17, 22), scale: int = 1) -> dict:
    rng = torch.Generator().manual_seed(1)
    small = tuple(side // scale for side in size)
    draw = dict(generator=rng, dtype=torch.uint8)
    samples = [
        DiffusionSample(metainfo=dict(sample_idx=i, target_shape=size, seed=100 + i))
        for i in range(count)
    ]
    inputs = dict(
        image=[torch.randint(0, 256, (3, *size), **draw) for _ in samples],
        condition=[torch.randint(0, 256, (3, *small), **draw) for _ in samples],
    )
    return dict(inputs=inputs, data_samples=samples)


def part(data: dict, members: slice) -> dict:
    inputs = {key: value[members] for key, value in data['inputs'].items()}
    return dict(inputs=inputs, data_samples=data['data_samples'][members])


def losses_of(model: ADM, data: dict) -> dict:
    return model(**model.data_preprocessor(data, True), mode='loss')


def predictions(model: ADM, data: dict) -> list[torch.Tensor]:
    model.eval()
    return [sample.pred_img for sample in model.test_step(copy.deepcopy(data))]


@pytest.mark.parametrize('batch', [1, 3])
def test_a_prediction_is_the_same_in_any_batch(batch):
    model, data = make_model(), make_data()
    together = predictions(model, data)
    for start in range(0, 7, batch):
        members = slice(start, start + batch)
        for one, other in zip(
            predictions(model, part(data, members)), together[members]
        ):
            assert torch.equal(one, other)


def test_images_of_several_sizes_in_one_batch_do_not_affect_each_other():
    model = make_model()
    small, large = make_data(2, (9, 12)), make_data(2, (16, 20))
    mixed = dict(
        inputs={k: small['inputs'][k] + large['inputs'][k] for k in small['inputs']},
        data_samples=small['data_samples'] + large['data_samples'],
    )
    expected = predictions(model, small) + predictions(model, large)
    for one, other in zip(predictions(model, mixed), expected):
        assert torch.equal(one, other)


def test_another_seed_or_sample_gives_another_image():
    model, data = make_model(), make_data(1)
    first = predictions(model, data)[0]
    model.test_cfg['seed'] = 1
    second = predictions(model, data)[0]
    assert not torch.equal(first, second)
    model.test_cfg['seed'] = 0
    data['data_samples'][0].set_metainfo(dict(sample_idx=1))
    assert not torch.equal(predictions(model, data)[0], second)


def test_no_two_seeds_share_a_sample():
    """The sum of seed and index would give 6 predictions, not 12."""
    model, data = make_model(), make_data(4)
    same = data['inputs']['condition'][0]
    data['inputs']['condition'] = [same] * 4
    seen = set()
    for seed in range(3):
        model.test_cfg['seed'] = seed
        seen |= {image.numpy().tobytes() for image in predictions(model, data)}
    assert len(seen) == 12


def test_a_negative_seed_is_refused():
    model = make_model(test_cfg=dict(seed=-1))
    with pytest.raises(ValueError, match=r'at least 0, but got -1, 0'):
        predictions(model, make_data(1))


def spoil(model: ADM, value: float, member: int, step: int) -> None:
    """Put one value into an output of the head, for one sample and at one step."""
    steps = []

    def hook(_, args, outputs):
        steps.append(1)
        if len(steps) == step:
            outputs[0][member, 0, 3, 3] = value
        return outputs

    model.head.register_forward_hook(hook)


@pytest.mark.parametrize('clip', [None, 1.0])
@pytest.mark.parametrize('step', [1, 3])
@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
def test_outputs_that_are_not_finite_are_refused_with_the_sample(value, step, clip):
    """Also where the sampler's clip makes infinity a white pixel."""
    model = make_model(sampler=dict(type=ADMSampler, num_steps=3, clip=clip))
    data = make_data(3)
    data['data_samples'][1].set_metainfo(dict(img_path='photos/b.png'))
    spoil(model, value, member=1, step=step)
    with pytest.raises(ValueError, match=r'for photos/b.png has NaN or infinite'):
        predictions(model, data)


class HalfStage(PixelStage):
    """A first stage that decodes to white images of half precision."""

    def decode(self, latent, condition):
        return torch.ones_like(latent, dtype=torch.float16)


def test_large_images_of_half_precision_are_finite():
    """The sum of their pixels is beyond the range of float16."""
    model = make_model(first_stage=dict(type=HalfStage), test_cfg=dict(num_steps=1))
    (image,) = predictions(model, make_data(1, (160, 144)))
    assert (image == 255).all()


def test_weights_that_are_not_finite_are_never_scored():
    model = make_model(sampler=dict(type=ADMSampler, clip=1.0))
    model.condition_encoder.stages[1].refine.weight.data[0, 0, 0, 0] = float('nan')
    with pytest.raises(ValueError, match=r'for sample 0 has NaN or infinite'):
        predictions(model, make_data(2))


def test_the_condition_changes_the_prediction():
    model, data = make_model(), make_data(1)
    first = predictions(model, data)[0]
    data['inputs']['condition'][0] = 255 - data['inputs']['condition'][0]
    assert not torch.equal(first, predictions(model, data)[0])


def test_the_condition_is_encoded_once_per_image_not_once_per_step():
    model, data = make_model(), make_data(2)
    calls = []
    model.condition_encoder.register_forward_hook(lambda *_: calls.append(1))
    model.test_cfg['num_steps'] = 5
    predictions(model, data)
    assert len(calls) == 1


@pytest.mark.parametrize('steps', [1, 2, 5])
def test_n_steps_are_n_function_evaluations(steps):
    model, data = make_model(), make_data(1)
    calls = []
    model.head.register_forward_hook(lambda *_: calls.append(1))
    model.test_cfg['num_steps'] = steps
    predictions(model, data)
    assert len(calls) == steps


def test_gradient_reaches_both_decoders_and_the_encoders():
    model, data = make_model(), make_data(2)
    losses = losses_of(model, data)
    (losses['loss_image'] + losses['loss_noise']).backward()
    dead = [
        n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()
    ]
    assert dead == []


def test_each_loss_term_trains_its_own_decoder():
    model, data = make_model(), make_data(2)
    losses_of(model, data)['loss_image'].backward()
    first, second = model.head.decoders
    assert all(p.grad is not None for p in first.parameters())
    assert all(p.grad is None for p in second.parameters())


@pytest.mark.parametrize('attenuation', ATTENUATION_CONFIGS)
def test_losses_follow_the_samples_not_the_batch(attenuation):
    """Time, noise and drawn parameters come from each sample's seed."""
    process = ADMProcess(ATTENUATION_CONFIGS[attenuation])
    width = 3 * process.attenuation.num_params
    model = make_model(process=process, head=dict(out_channels=(width, 3)))
    data = make_data(4)
    whole = losses_of(model, data)
    assert losses_of(model, data) == whole
    halves = [losses_of(model, part(data, slice(i, i + 2))) for i in (0, 2)]
    for key in ('loss_image', 'loss_noise'):
        mean = sum(half[key] for half in halves) / 2
        torch.testing.assert_close(whole[key], mean)


def test_errors_by_time_are_logged_but_not_trained_on():
    model, data = make_model(), make_data(7)
    losses = losses_of(model, data)
    monitors = [key for key in losses if '_t' in key]
    assert {'loss_image', 'loss_noise'} == set(losses) - set(monitors)
    assert monitors and not any('loss' in key for key in monitors)
    total, _ = model.parse_losses(losses)
    torch.testing.assert_close(total, losses['loss_image'] + losses['loss_noise'])


class Recorder(ADMLoss):
    """Keeps predictions and targets: first of phi, then of eps."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list = []

    def forward(self, pred, target, weight):
        self.seen.append((pred, target))
        return super().forward(pred, target, weight)


def record_losses(model: ADM, data: dict) -> tuple[dict, list, torch.Tensor]:
    """The losses, their predictions and targets, and the drawn times."""
    times = []
    model.head.register_forward_hook(lambda _, args, out: times.append(args[1].exp()))
    model.criterion = Recorder()
    return losses_of(model, data), model.criterion.seen, times[0]


def test_times_are_uniform_from_t_min_to_one():
    process = dict(type=ADMProcess, t_min=0.2)
    *_, times = record_losses(make_model(process=process), make_data(300, (4, 4)))
    assert kstest(times.numpy(), 'uniform', args=(0.2, 0.8)).pvalue > 0.01


def test_errors_are_sorted_by_their_time():
    losses, seen, times = record_losses(make_model(), make_data(40, (4, 4)))
    for name, (pred, target) in zip(('image', 'noise'), seen):
        errors = (pred - target).square().flatten(1).mean(1)
        for low, high in ((0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1)):
            expected = errors[(times > low) & (times <= high)].mean()
            torch.testing.assert_close(losses[f'{name}_mse_t{high:g}'], expected)


def test_a_constant_attenuation_learns_minus_the_image():
    """With both outputs known, phi is -x0 and eps the sample's noise (Sec. V-A)."""
    model, data = make_model(), make_data(3)
    _, ((_, phi), (_, eps)), _ = record_losses(model, data)
    images = torch.stack(data['inputs']['image']).float() / 127.5 - 1
    torch.testing.assert_close(phi, -images)
    assert abs(eps.std() - 1) < 0.05 and abs(eps.mean()) < 0.05


def test_cross_attention_and_other_processes_train_and_sample():
    model = make_model(
        head=dict(
            fusion=dict(type=CrossAttentionFusion, head_channels=8),
            out_channels=(6, 3),
        ),
        process=dict(
            type=ADMProcess,
            attenuation=dict(type=LinearAttenuation),
            noise=dict(type=LinearNoise),
        ),
        sampler=dict(type=ADMSampler, num_steps=3, eta=0.0),
    )
    data = make_data(2)
    total, _ = model.parse_losses(losses_of(model, data))
    assert total.isfinite()
    assert predictions(model, data)[0].shape == (3, 17, 22)


def test_a_residual_of_zero_is_the_enlarged_condition():
    stage = ResidualStage()
    condition = torch.rand(1, 3, 8, 10) * 2 - 1
    image = stage.decode(torch.zeros(1, 3, 16, 20), condition)
    expected = torch.nn.functional.interpolate(
        condition, scale_factor=2, mode='bicubic'
    )
    torch.testing.assert_close(image, expected)


def test_a_residual_and_its_condition_are_the_image_again():
    stage = ResidualStage(patch=2, gain=0.3)
    image, condition = torch.rand(1, 3, 16, 20), torch.rand(1, 3, 8, 10)
    again = stage.decode(stage.encode(image, condition), condition)
    torch.testing.assert_close(again, image)


def test_the_gain_scales_what_is_diffused():
    image, condition = torch.rand(1, 3, 8, 8), torch.rand(1, 3, 4, 4)
    plain, loud = (ResidualStage(gain=gain).encode(image, condition) for gain in (1, 3))
    torch.testing.assert_close(loud, 3 * plain)
    with pytest.raises(ValueError, match='gain=0'):
        ResidualStage(gain=0)


RESIDUAL = dict(type=ResidualStage)


@pytest.mark.parametrize(
    'statistics', [dict(mean=(127.0,)), dict(mean=(127.5,) * 3, std=(58.0, 57, 57))]
)
def test_a_residual_needs_a_condition_in_the_range_of_the_image(statistics):
    preprocessor = dict(type=DiffusionPreprocessor, **statistics)
    with pytest.raises(
        ValueError, match=r'ResidualStage.*\[-1, 1\].*Leave both at 127'
    ):
        make_model(first_stage=RESIDUAL, data_preprocessor=preprocessor)


def test_a_residual_needs_a_condition_with_the_channels_of_the_image():
    encoder = dict(type=ConvEncoder, in_channels=1, channels=(8, 16))
    model, data = make_model(first_stage=RESIDUAL, encoder=encoder), make_data(1)
    data['inputs']['condition'] = [torch.zeros(1, 17, 22, dtype=torch.uint8)]
    for run in (losses_of, predictions):
        with pytest.raises(ValueError, match=r'has 1 channels and the image 3.*first'):
            run(model, data)


def test_a_mask_beside_the_condition_is_not_part_of_the_residual():
    image, condition = torch.rand(2, 1, 3, 8, 8)
    masked = torch.cat([condition, torch.ones(1, 1, 8, 8)], dim=1)
    stage = ResidualStage(patch=2, gain=0.3)
    residual = stage.encode(image, masked)
    assert residual.equal(stage.encode(image, condition))
    torch.testing.assert_close(stage.decode(residual, masked), image)


def test_statistics_for_other_channels_than_the_encoder_takes_are_refused_at_once():
    with pytest.raises(ValueError, match=r'takes 4 channels.*have 3.*mask'):
        make_model(
            encoder=dict(type=ConvEncoder, in_channels=4, channels=(8, 16)),
            data_preprocessor=dict(
                type=DiffusionPreprocessor, mean=(120.0,) * 3, std=(60.0,) * 3
            ),
        )


@pytest.mark.parametrize('patch', [1, 2, 4])
def test_patches_as_channels_lose_nothing(patch):
    stage, image = PixelStage(patch), torch.randn(2, 3, 8, 12)
    latent = stage.encode(image, None)
    assert latent.shape == (2, 3 * patch**2, 8 // patch, 12 // patch)
    assert torch.equal(stage.decode(latent, None), image)


def test_known_pixels_are_pasted_exactly():
    model, data = make_model(), make_data(1)
    (sample,) = data['data_samples']
    sample.mask = torch.zeros(1, 17, 22, dtype=torch.uint8)
    sample.mask[:, 4:9, 3:11] = 1
    sample.condition = data['inputs']['condition'][0]
    prediction = predictions(model, data)[0]
    known = ~sample.mask.bool().expand_as(prediction)
    assert torch.equal(prediction[known], sample.condition[known])
    assert not torch.equal(prediction, sample.condition)


def test_features_that_do_not_fit_the_head_are_refused_with_both_sides():
    with pytest.raises(ValueError, match=r'\(8, 8\), but .*=ConvEncoder.*\(8, 16\)'):
        make_model(head=dict(condition_channels=(8, 8)))


def test_a_conditional_model_without_condition_is_an_error():
    model, data = make_model(), make_data(1)
    del data['inputs']['condition']
    with pytest.raises(ValueError, match=r'give no condition'):
        losses_of(model, data)


def test_a_condition_of_the_wrong_size_is_refused_with_both_sizes():
    model, data = make_model(), make_data(1, scale=2)
    with pytest.raises(ValueError, match=r'\(8, 11\).*\(17, 22\).*condition_scale'):
        model.test_step(data)


def test_one_evaluation_of_the_networks_for_profiling():
    model = make_model(
        head=dict(in_channels=12, out_channels=(12, 12)),
        first_stage=dict(type=PixelStage, patch=2),
        data_preprocessor=dict(type=DiffusionPreprocessor, size_divisor=2),
    )
    phi, eps = model(**model.data_preprocessor(make_data(2), True))
    assert phi.shape == eps.shape == (2, 12, 9, 11)


def test_padded_images_are_cropped_again():
    """A first stage that needs multiples of 4 still predicts 17 x 22 pixels."""
    model = make_model(
        head=dict(in_channels=48, out_channels=(48, 48)),
        first_stage=dict(type=PixelStage, patch=4),
        data_preprocessor=dict(type=DiffusionPreprocessor, size_divisor=4),
    )
    assert predictions(model, make_data(1))[0].shape == (3, 17, 22)
    with pytest.raises(ValueError, match=r'reduces images 4 times.*size_divisor=1'):
        make_model(first_stage=dict(type=PixelStage, patch=4))


def test_flipped_predictions_are_flipped_back_before_they_are_averaged():
    versions = []
    plain = torch.randint(0, 256, (3, 4, 6), dtype=torch.uint8)
    for flip in (False, True):
        sample = DiffusionSample(metainfo=dict(flip=flip))
        sample.pred_img = plain.flip(-1) if flip else plain
        versions.append(sample)
    (merged,) = FlipTTA(module=make_model()).merge_preds([versions])
    assert merged is versions[0] and torch.equal(merged.pred_img, plain)


class DrawingStage(PixelStage):
    """A random first stage: noise is added to the image."""

    def encode(self, image, condition, draw=None):
        return image if draw is None else image + draw(image.shape[1:])


def test_a_first_stage_draws_from_the_stream_of_each_sample():
    model, data = make_model(first_stage=dict(type=DrawingStage)), make_data(3)
    _, ((_, phi), (_, eps)), _ = record_losses(model, data)
    images = torch.stack(data['inputs']['image']).float() / 127.5 - 1
    drawn = -phi - images
    assert abs(drawn.std() - 1) < 0.05 and (drawn * eps).mean().abs() < 0.05
    _, ((_, one), _), _ = record_losses(model, part(data, slice(2, 3)))
    torch.testing.assert_close(phi[2:], one)


def test_without_training_a_first_stage_draws_nothing():
    model = make_model(first_stage=dict(type=DrawingStage))
    inputs = model.data_preprocessor(make_data(1), True)
    first, second = (model(**inputs)[0] for _ in range(2))
    assert torch.equal(first, second)


def test_a_test_cfg_that_is_no_dict_is_refused():
    with pytest.raises(ValueError, match=r'test_cfg=.dict\(mode=whole\).*num_steps=5'):
        make_model(test_cfg='dict(mode=whole)')


@pytest.mark.parametrize('num_steps', [1, 3])
def test_a_decoder_that_cannot_matter_is_not_computed(num_steps):
    model = make_model(test_cfg=dict(num_steps=num_steps)).eval()
    calls = [0, 0]

    def count(index: int):
        def hook(*_):
            calls[index] += 1

        return hook

    for i, decoder in enumerate(model.head.decoders):
        decoder.register_forward_hook(count(i))
    data = make_data(2)
    images = [sample.pred_img for sample in model.test_step(data)]
    # At t = 1 eps is x_t.
    assert calls == [num_steps, num_steps - 1]

    model.head.can_skip_decoders = False
    every = [sample.pred_img for sample in model.test_step(make_data(2))]
    assert calls == [2 * num_steps, 2 * num_steps - 1]
    for image, other in zip(images, every, strict=True):
        assert torch.equal(image, other)


def test_drawn_times_of_training_need_all_decoders():
    model = make_model()
    assert model.preconditioner.needed(model.process, torch.ones(3)) == (True, True)
    assert model.preconditioner.needed(model.process, 1.0) == (True, False)
    assert model.preconditioner.needed(model.process, 0.5) == (True, True)


def test_regression_trains_as_before_without_the_decoder_that_cannot_matter():
    model = make_model(process=ADMProcess(time_power=0))
    gradients = []
    for can_skip in (True, False):
        model.head.can_skip_decoders = can_skip
        model.zero_grad()
        losses = losses_of(model, make_data(3))
        (losses['loss_image'] + losses['loss_noise']).backward()
        unused = {p.grad is None for p in model.head.decoders[1].parameters()}
        assert unused == {can_skip}
        used = model.head.decoders[0], model.head.encoder, model.condition_encoder
        gradients.append([p.grad.clone() for part in used for p in part.parameters()])
    for gradient, other in zip(*gradients, strict=True):
        assert torch.equal(gradient, other)


def test_latents_are_equal_bit_by_bit_without_the_decoder_that_cannot_matter():
    model = make_model().eval()
    x_t = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    condition = torch.rand(2, 3, 8, 8)
    with torch.no_grad():
        features = model.encode_condition(condition)
        skipped = model.denoise(x_t, 1.0, features)
        model.head.can_skip_decoders = False
        for output, other in zip(skipped, model.denoise(x_t, 1.0, features)):
            assert torch.equal(output, other)
