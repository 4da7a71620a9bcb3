"""The KL autoencoder as a network and as a first stage."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from mmadm.models import ADM, DiffusionPreprocessor, DualDecoderUNet, KLAutoencoder
from mmadm.models.losses import kl_divergence
from mmadm.structures import DiffusionSample
from tests.golden import assert_golden, formula, waves

X = waves((2, 3, 32, 32), 0.61, 0.4, 0.9)


def with_formulas(module: nn.Module, prefix: str = '') -> nn.Module:
    """Weights that follow from the names, which are latent diffusion's; rest stays."""
    state = module.state_dict()
    for key, tensor in state.items():
        if tensor.dim() and tensor.is_floating_point():
            state[key] = formula(prefix + key, tensor.shape)
    module.load_state_dict(state)
    return module.eval()


def small(**options) -> KLAutoencoder:
    options = dict(base_channels=8, num_blocks=1) | options
    torch.manual_seed(0)
    return KLAutoencoder(**options).eval()


def without_end(half: nn.Sequential) -> nn.Sequential:
    """The linear part of an encoder or decoder at its start."""
    half.norm_out, half.swish = nn.Identity(), nn.Identity()
    return half


def noise(shape: tuple) -> Tensor:
    return torch.randn(2, *shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize('channels, expected', [(3, 55_312_063), (1, 55_307_453)])
def test_it_has_the_size_of_kl_f4(channels, expected):
    with torch.device('meta'):
        stage = KLAutoencoder(in_channels=channels)
    assert sum(p.numel() for p in stage.parameters()) == expected


def test_it_encodes_as_the_authors_network():
    stage = with_formulas(KLAutoencoder(base_channels=32, num_blocks=1))
    with torch.no_grad():
        moments = stage.moments(X)
    mean, logvar = moments.chunk(2, dim=1)
    golden = (0.04334068, 0.1332498, 45.85385, 0.131020, 0.131472, 0.141978)
    assert_golden(mean, golden)
    golden = (-0.1530707, 0.1547144, 70.12786, -0.073088, -0.162887, -0.173557)
    assert_golden(logvar, golden)
    golden = [3.995378, 3.910816]
    assert kl_divergence(moments).tolist() == pytest.approx(golden, rel=1e-5)


def test_kl_divergence_is_that_of_torch():
    mean, logvar = torch.randn(2, 4, 3, 5, 6)
    posterior = torch.distributions.Normal(mean, (logvar / 2).exp())
    expected = torch.distributions.kl_divergence(
        posterior, torch.distributions.Normal(0.0, 1.0)
    )
    own = kl_divergence(torch.cat([mean, logvar], dim=1))
    torch.testing.assert_close(own, expected.flatten(1).sum(1))


def test_attention_is_softmax_attention_of_all_positions():
    layer = small(base_channels=32).encoder.mid.attn_1
    nn.init.normal_(layer.proj_out.weight)
    x = torch.randn(2, 128, 3, 5)
    h = layer.norm(x)
    q, k, v = (f(h).flatten(2) for f in (layer.q, layer.k, layer.v))
    weights = torch.softmax(q.mT @ k / math.sqrt(128), dim=-1)
    gathered = (v @ weights.mT).view_as(x)
    torch.testing.assert_close(layer(x), x + layer.proj_out(gathered))


def test_training_starts_from_a_linear_decoder():
    """All but the last norm and swish: the branches add nothing yet."""
    decoder = without_end(small().decoder)
    a, b = torch.randn(2, 1, 3, 4, 5)
    with torch.no_grad():
        torch.testing.assert_close(decoder(a + b), decoder(a) + decoder(b))


@pytest.mark.parametrize('width', [16, 32])
def test_training_starts_with_colours_as_strong_as_they_are(width):
    """A hue of constant strength neither fades nor grows from layer to layer."""
    encoder = without_end(small(base_channels=width).encoder)
    hue = torch.randn(64, 3, 1, 1).expand(-1, -1, 32, 32)
    with torch.no_grad():
        inside = encoder(hue)[:, :, 2:-2, 2:-2]
    assert 0.5 < inside.std() / hue.std() < 2


def test_attention_keeps_no_table_of_all_pairs_of_positions():
    layer = small().encoder.mid.attn_1
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        assert layer(torch.randn(1, 32, 4, 5)).shape == (1, 32, 4, 5)


def test_latents_are_scaled_samples_of_the_posterior():
    stage = small(scale_factor=0.25)
    with torch.no_grad():
        moments = stage.moments(X)
        mean, logvar = moments.chunk(2, dim=1)
        torch.testing.assert_close(stage.encode(X, None), 0.25 * mean)
        sample = mean + (logvar / 2).exp() * noise(mean.shape[1:])
        torch.testing.assert_close(stage.encode(X, None, noise), 0.25 * sample)
        torch.testing.assert_close(stage.latent(moments, noise), 0.25 * sample)


def test_decoding_undoes_the_scale():
    one, other = small(), small(scale_factor=0.2)
    other.load_state_dict(one.state_dict() | dict(scale_factor=torch.tensor(0.2)))
    with torch.no_grad():
        images = [s.decode(s.encode(X, None)) for s in (one, other)]
    torch.testing.assert_close(*images)


def test_the_variance_stays_within_bounds():
    stage = small()
    nn.init.constant_(stage.quant_conv.bias, 1e3)
    assert stage.moments(X).chunk(2, dim=1)[1].max() == 20
    nn.init.constant_(stage.quant_conv.bias, -1e3)
    assert stage.moments(X).chunk(2, dim=1)[1].min() == -30


@pytest.mark.parametrize('size', [(4, 8), (8, 20), (36, 28)])
def test_any_multiple_of_the_factor_comes_back_in_its_size(size):
    stage = small(in_channels=1)
    with torch.no_grad():
        latent = stage.encode(torch.zeros(1, 1, *size), None)
        assert latent.shape == (1, 3, size[0] // 4, size[1] // 4)
        assert stage.decode(latent).shape == (1, 1, *size)


def test_other_sizes_are_refused_with_both_sides():
    with pytest.raises(ValueError, match='38x44 cannot be reduced 4 times'):
        small().encode(torch.zeros(1, 3, 38, 44), None)
    with pytest.raises(ValueError, match='takes images of 3 channels, but got 1'):
        small().encode(torch.zeros(1, 1, 8, 8), None)
    with pytest.raises(ValueError, match='decodes 3 channels, but the latents have 4'):
        small().decode(torch.zeros(1, 4, 8, 8))
    with pytest.raises(ValueError, match='tile=30 pixels cannot be reduced 4 times'):
        small(tile=30)


class TestWindows:
    def test_of_an_image_that_fits_change_nothing(self):
        whole, tiled = small(), small(tile=32)
        with torch.no_grad():
            assert torch.equal(whole.moments(X), tiled.moments(X))
            latent = whole.encode(X, None)
            assert torch.equal(whole.decode(latent), tiled.decode(latent))

    def test_agree_with_the_whole_where_layers_look_at_one_place(self):
        stage = small(tile=16)
        stage.encoder = nn.Sequential(nn.AvgPool2d(4), nn.Conv2d(3, 6, 1))
        stage.decoder = nn.Sequential(nn.Upsample(scale_factor=4), nn.Conv2d(3, 3, 1))
        image = torch.rand(1, 3, 52, 24)
        with torch.no_grad():
            tiled = stage.moments(image), stage.decode(stage.encode(image, None))
            stage.tile = None
            whole = stage.moments(image), stage.decode(stage.encode(image, None))
        torch.testing.assert_close(tiled, whole)

    def test_cover_images_of_any_size(self):
        stage = small(tile=16)
        image = torch.rand(1, 3, 52, 24)
        with torch.no_grad():
            latent = stage.encode(image, None)
            decoded = stage.decode(latent)
        assert latent.shape == (1, 3, 13, 6) and decoded.shape == image.shape
        assert decoded.isfinite().all()

    def test_keep_memory_bounded(self):
        """The attention of the middle sees no more positions than a window has."""
        stage, seen = small(tile=32), []
        stage.encoder.mid.attn_1.register_forward_hook(
            lambda layer, inputs, output: seen.append(output.shape[-2:].numel())
        )
        with torch.no_grad():
            stage.moments(torch.rand(1, 3, 64, 96))
        assert len(seen) > 4 and max(seen) == 8 * 8


class TestScaleFactor:
    def test_moves_towards_one_over_the_deviation_of_training_latents(self):
        stage = small().train()
        wanted = 1 / stage.encode(X, None, noise).std()
        for _ in range(3):
            stage(X, noise)
        torch.testing.assert_close(
            stage.scale_factor, wanted + (1 - wanted) * 0.99**3, rtol=1e-5, atol=0
        )

    def test_stands_still_outside_of_training(self):
        stage = small()
        stage(X, noise)
        assert stage.scale_factor == 1

    def test_is_stored_with_the_weights(self, tmp_path):
        torch.save(small(scale_factor=0.165).state_dict(), tmp_path / 'stage.pth')
        stage = small(checkpoint=str(tmp_path / 'stage.pth'))
        stage.init_weights()
        assert stage.scale_factor == torch.tensor(0.165)


class TestCheckpoint:
    def test_of_training_gives_the_autoencoder(self, tmp_path):
        trained = small()
        state = {f'autoencoder.{k}': v + 1 for k, v in trained.state_dict().items()}
        state['discriminator.main.0.weight'] = torch.zeros(1)
        torch.save(dict(state_dict=state, meta={}), tmp_path / 'iter_1.pth')
        loaded = small(checkpoint=str(tmp_path / 'iter_1.pth'))
        loaded.init_weights()
        for key, value in trained.state_dict().items():
            assert torch.equal(loaded.state_dict()[key], value + 1)

    def test_of_another_width_is_refused(self, tmp_path):
        path = tmp_path / 'stage.pth'
        torch.save(small().state_dict(), path)
        with pytest.raises(ValueError, match=r'stage\.pth has .* of another shape'):
            small(base_channels=16, checkpoint=str(path)).init_weights()

    def test_that_is_missing_or_broken_is_named(self, tmp_path):
        path = tmp_path / 'stage.pth'
        stage = small(checkpoint=str(path))
        with pytest.raises(
            FileNotFoundError, match=r'not found: .*stage\.pth\. .*autoencoder_kl/'
        ):
            stage.init_weights()
        path.write_bytes(b'PK\x03\x04 nothing')
        with pytest.raises(ValueError, match=r'truncated or broken: .*stage\.pth'):
            stage.init_weights()
        torch.save([1], path)
        with pytest.raises(ValueError, match=r'Not a checkpoint: .*stage\.pth'):
            stage.init_weights()


def latent_model(path: str) -> ADM:
    return ADM(
        head=dict(
            type=DualDecoderUNet,
            in_channels=3,
            out_channels=(3, 3),
            base_channels=8,
            channel_mult=(1,),
            num_blocks=1,
            attention_levels=(),
        ),
        first_stage=dict(
            type=KLAutoencoder, base_channels=8, num_blocks=1, checkpoint=path
        ),
        data_preprocessor=dict(type=DiffusionPreprocessor, size_divisor=4),
        test_cfg=dict(num_steps=2),
    )


def ready_to_train(path: str) -> ADM:
    """As MMEngine's Runner prepares it."""
    model = latent_model(path)
    model.init_weights()
    return model


@pytest.fixture
def stage_file(tmp_path) -> str:
    path = tmp_path / 'stage.pth'
    torch.save(small(scale_factor=0.3).state_dict(), path)
    return str(path)


def test_a_diffusion_trains_on_its_latents_and_leaves_it_as_it_is(stage_file):
    model = ready_to_train(stage_file).train()
    before = {k: v.clone() for k, v in model.first_stage.state_dict().items()}
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2, weight_decay=1.0)
    samples = [DiffusionSample(metainfo=dict(seed=i)) for i in range(2)]
    for _ in range(3):
        losses = model(dict(image=X, condition=None), samples, mode='loss')
        model.parse_losses(losses)[0].backward()
        optimizer.step()
        optimizer.zero_grad()
    after = model.first_stage.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert all(p.grad is None for p in model.first_stage.parameters())


def test_a_diffusion_on_latents_predictions_with_images_of_any_size(stage_file):
    model = ready_to_train(stage_file).eval()
    samples = [
        DiffusionSample(metainfo=dict(sample_idx=i, target_shape=(18, 21)))
        for i in range(2)
    ]
    predictions = model.predict([], samples)
    assert [a.pred_img.shape for a in predictions] == [(3, 18, 21)] * 2


def test_its_training_latents_are_samples_that_follow_the_seeds(
    stage_file, monkeypatch
):
    model, seen = ready_to_train(stage_file), []
    target = model.process.target
    monkeypatch.setattr(
        model.process, 'target', lambda x0, noise: seen.append(x0) or target(x0, noise)
    )
    for seeds in ((1, 2), (1, 3), (1, 2)):
        samples = [DiffusionSample(metainfo=dict(seed=seed)) for seed in seeds]
        model(dict(image=X, condition=None), samples, mode='loss')
    first, other, again = seen
    mean = model.first_stage.encode(X, None)
    assert torch.equal(first, again)
    assert torch.equal(first[0], other[0]) and not torch.equal(first[1], other[1])
    assert not torch.allclose(first, mean)
    assert F.mse_loss(first, mean) < 1


def test_a_trained_diffusion_needs_no_file_of_its_first_stage(stage_file):
    trained, elsewhere = ready_to_train(stage_file), latent_model('not_here.pth')
    elsewhere.load_state_dict(trained.state_dict())
    assert elsewhere.first_stage.scale_factor == torch.tensor(0.3)
    with pytest.raises(FileNotFoundError, match='not_here'):
        elsewhere.init_weights()
