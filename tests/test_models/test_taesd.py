"""The tiny first stage: published weights fit, and images come back."""

import numpy as np
import pytest
import torch
from PIL import Image

from mmadm.evaluation.fidelity import psnr
from mmadm.models import ADM, DiffusionPreprocessor, TinyAutoencoderStage

from .test_adm import losses_of, make_data, make_model, predictions


def count(network) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def half_files(stage: TinyAutoencoderStage, folder) -> tuple[str, str]:
    """Files as they are published: one per direction, in half precision."""
    paths = []
    for name in ('encoder', 'decoder'):
        weights = getattr(stage, name).state_dict()
        path = folder / f'{name}.pth'
        torch.save({key: value.half() for key, value in weights.items()}, path)
        paths.append(str(path))
    return tuple(paths)


def loaded(*args, **kwargs) -> TinyAutoencoderStage:
    stage = TinyAutoencoderStage(*args, **kwargs)
    stage.init_weights()
    return stage


def make_latent_model(**stage) -> ADM:
    return make_model(
        head=dict(in_channels=32, out_channels=(32, 32)),
        first_stage=dict(type=TinyAutoencoderStage, **stage),
        data_preprocessor=dict(type=DiffusionPreprocessor, size_divisor=8),
    )


@torch.no_grad()
def test_faces_come_back_and_latents_have_unit_deviation(data_root):
    files = (data_root / 'weights' / f'taef2_{n}.pth' for n in ('encoder', 'decoder'))
    stage = loaded(*map(str, files))
    faces = sorted((data_root / 'celeba_hq' / 'test').glob('*.jpg'))[:4]
    scores, latents = [], []
    for path in faces:
        face = Image.open(path).convert('RGB').resize((256, 256), Image.BICUBIC)
        original = np.array(face)
        image = torch.from_numpy(original).permute(2, 0, 1)[None].float() / 127.5 - 1
        latent = stage.encode(image, None)
        decoded = (stage.decode(latent)[0].permute(1, 2, 0) + 1) * 127.5
        scores.append(psnr(decoded.clamp(0, 255).round().numpy(), original))
        latents.append(latent)
    assert min(scores) > 31.5
    assert latents[0].shape == (1, 32, 32, 32)
    assert torch.cat(latents).std() == pytest.approx(1, abs=0.05)
    assert abs(torch.cat(latents).mean()) < 0.1


def test_sizes_are_those_of_the_published_networks():
    stage = TinyAutoencoderStage()
    assert (count(stage.encoder), count(stage.decoder)) == (1_338_528, 1_338_499)
    first = TinyAutoencoderStage(latent_channels=4, mix_groups=0)
    assert (count(first.encoder), count(first.decoder)) == (1_222_532, 1_222_531)


def test_layers_without_weights_count_in_the_names():
    stage = TinyAutoencoderStage()
    encoder, decoder = stage.encoder.state_dict(), stage.decoder.state_dict()
    assert {'0.bias', '2.weight', '6.weight', '10.weight', '14.bias'} <= set(encoder)
    assert {'1.bias', '7.weight', '12.weight', '17.weight', '19.bias'} <= set(decoder)
    mixing = {key.split('.')[0] for key in encoder if '.pool.' in key}
    assert mixing == {'11', '12', '13'}
    mixing = {key.split('.')[0] for key in decoder if '.pool.' in key}
    assert mixing == {'3', '4', '5'}


@torch.no_grad()
def test_half_precision_files_are_computed_in_single_precision(tmp_path):
    stage = TinyAutoencoderStage()
    again = loaded(*half_files(stage, tmp_path))
    image = torch.rand(1, 3, 16, 24) * 2 - 1
    latent = again.encode(image, None)
    assert latent.dtype == torch.float32 and latent.shape == (1, 32, 2, 3)
    torch.testing.assert_close(latent, stage.encode(image, None), atol=1e-2, rtol=1e-2)


@torch.no_grad()
def test_the_scale_factor_scales_latents_alone():
    plain, louder = TinyAutoencoderStage(), TinyAutoencoderStage(scale_factor=3)
    for key in ('encoder', 'decoder'):
        getattr(louder, key).load_state_dict(getattr(plain, key).state_dict())
    image = torch.rand(1, 3, 16, 16) * 2 - 1
    one, other = plain.encode(image, None), louder.encode(image, None)
    torch.testing.assert_close(other, one * 3 / 1.16)
    torch.testing.assert_close(louder.decode(other), plain.decode(one))


def test_a_latent_model_trains_without_touching_the_first_stage():
    model, data = make_latent_model(), make_data(2, (24, 40))
    before = {k: v.clone() for k, v in model.first_stage.state_dict().items()}
    optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), 0.1)
    model.train()
    total, _ = model.parse_losses(losses_of(model, data))
    total.backward()
    optimizer.step()
    after = model.first_stage.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert not model.first_stage.training


def test_initialising_the_model_reads_the_files(tmp_path):
    stage = TinyAutoencoderStage()
    encoder, decoder = half_files(stage, tmp_path)
    model = make_latent_model(encoder=encoder, decoder=decoder)
    model.init_weights()
    expected = stage.encoder[0].weight.half().float()
    assert torch.equal(model.first_stage.encoder[0].weight, expected)


def test_a_latent_model_decodeds_any_size():
    model = make_latent_model()
    model.test_cfg['num_steps'] = 1
    assert predictions(model, make_data(1, (17, 22)))[0].shape == (3, 17, 22)


def test_what_does_not_fit_is_refused_with_both_sides(tmp_path):
    encoder, decoder = half_files(TinyAutoencoderStage(), tmp_path)
    with pytest.raises(ValueError, match=r'does not fit.*decoder\.pth'):
        loaded(encoder=decoder)
    with pytest.raises(ValueError, match=r'pool.*unknown|unknown.*pool'):
        loaded(encoder=encoder, mix_groups=0)
    with pytest.raises(FileNotFoundError, match=r'none\.pth'):
        loaded(decoder=str(tmp_path / 'none.pth'))

    stage = TinyAutoencoderStage()
    with pytest.raises(ValueError, match=r'multiples of 8.*3 channels of 16x20'):
        stage.encode(torch.zeros(1, 3, 16, 20), None)
    with pytest.raises(ValueError, match='1 channels of 16x16'):
        stage.encode(torch.zeros(1, 1, 16, 16), None)
    with pytest.raises(ValueError, match='decodes 32 channels, but the latents have 3'):
        stage.decode(torch.zeros(1, 3, 2, 2))


@pytest.mark.parametrize('scale', [0.0, -1.0, float('nan')])
def test_a_scale_that_cannot_be_divided_by_is_refused(scale):
    with pytest.raises(ValueError, match=f'scale_factor={scale}'):
        TinyAutoencoderStage(scale_factor=scale)
