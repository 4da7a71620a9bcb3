"""Condition encoders: torchvision's features, from published files, at any size."""

import warnings

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mmadm.models import ConvEncoder, RelationUNet, ResNetEncoder, SwinEncoder
from mmadm.models.condition_encoders.backbone import find_weights
from mmadm.models.condition_encoders.swin import swin_keys

from .test_adm import losses_of, make_data, make_model, predictions


@pytest.fixture(scope='module')
def torchvision():
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return pytest.importorskip('torchvision')


def shaken(network: nn.Module) -> nn.Module:
    """Weights at which everything matters: tables, norms and statistics too."""
    torch.manual_seed(0)
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    for name, buffer in network.named_buffers():
        if name.endswith('running_mean'):
            buffer += 0.1 * torch.randn_like(buffer)
        if name.endswith('running_var'):
            buffer += torch.rand_like(buffer)
    return network.eval()


@pytest.fixture(scope='module')
def swin(torchvision) -> nn.Module:
    return shaken(torchvision.models.swin_t(weights=None))


@pytest.fixture(scope='module')
def swin_file(swin, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp('weights') / 'swin_t.pth'
    torch.save(swin.state_dict(), path)
    return str(path)


def loaded(encoder):
    encoder.init_weights()
    return encoder.eval()


def swin_levels(network: nn.Module, x: Tensor) -> list[Tensor]:
    """Torchvision's outputs before patch merging."""
    levels = []
    x = network.features[0](x)
    for i in range(1, 8):
        x = network.features[i](x)
        if i % 2:
            levels.append(x.permute(0, 3, 1, 2))
    return levels


def photo(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


# Maps larger than a window, equal to it, smaller; odd ones; one direction only.
@pytest.mark.parametrize(
    'size', [(320, 320), (224, 224), (128, 128), (64, 64), (100, 244), (28, 256)]
)
@torch.no_grad()
def test_swin_gives_torchvisions_features(swin, swin_file, size):
    condition = photo(1, 3, *size)
    features = loaded(SwinEncoder('tiny', swin_file))(condition)
    for level, expected in zip(features, swin_levels(swin, condition), strict=True):
        torch.testing.assert_close(level, expected, atol=1e-4, rtol=1e-5)


@torch.no_grad()
def test_features_do_not_depend_on_the_sizes_seen_before(swin_file):
    encoder = loaded(SwinEncoder('tiny', swin_file))
    large = photo(1, 3, 240, 240)
    before = encoder(large)
    for size in (32, 224, 16):
        encoder(photo(1, 3, size, size))
    assert all(torch.equal(a, b) for a, b in zip(before, encoder(large)))


@pytest.mark.parametrize('size', [(1, 1), (3, 7), (33, 70)])
@torch.no_grad()
def test_any_size_has_four_levels(swin_file, size):
    encoder = loaded(SwinEncoder('tiny', swin_file))
    features = encoder(photo(2, 3, *size))
    assert tuple(level.shape[1] for level in features) == encoder.out_channels
    for level, stride in zip(features, (4, 8, 16, 32)):
        assert level.shape[-2:] == tuple(-(-side // stride) for side in size)
        assert level.isfinite().all()


def test_sizes_are_the_published_ones():
    with torch.device('meta'):
        encoder = SwinEncoder('base')
    # Torchvision's Swin-B has 87,768,224, of which 2,048 in the last norm and
    # 1,025,000 in the classifier.
    count = sum(parameter.numel() for parameter in encoder.parameters())
    assert count == 86_741_176 == 87_768_224 - 2_048 - 1_025_000
    assert encoder.out_channels == (128, 256, 512, 1024)

    with torch.device('meta'):
        encoder = ResNetEncoder(depth=101)
        head = RelationUNet(condition_channels=encoder.out_channels)
    # Both together are the authors' network with ResNet-101.
    count = sum(p.numel() for part in (head, encoder) for p in part.parameters())
    assert count == 181_027_856


def mmpretrain_file(encoder: SwinEncoder) -> dict[str, Tensor]:
    """A classifier's checkpoint: a prefix, a last norm, a head, an old mask."""
    weights = {f'backbone.{k}': v for k, v in encoder.backbone.state_dict().items()}
    weights['backbone.norm3.weight'] = torch.ones(768)
    weights['backbone.stages.0.blocks.1.attn.attn_mask'] = torch.zeros(64, 49, 49)
    weights['head.fc.weight'] = torch.zeros(1000, 768)
    return weights


@torch.no_grad()
def test_files_of_both_libraries_and_both_kinds_give_the_same(swin_file, tmp_path):
    condition = photo(1, 3, 64, 64)
    first = loaded(SwinEncoder('tiny', swin_file))
    expected = first(condition)
    theirs = mmpretrain_file(first)
    torch.save(dict(state_dict=theirs, meta=dict(epoch=3)), tmp_path / 'swin.pth')
    save_file(theirs, tmp_path / 'swin.safetensors')
    for name in ('swin.pth', 'swin.safetensors'):
        other = loaded(SwinEncoder('tiny', str(tmp_path / name)))
        assert all(torch.equal(a, b) for a, b in zip(expected, other(condition)))


@torch.no_grad()
def test_the_authors_condition_network_is_torchvisions_cut_in_two(swin):
    def cut(key: str) -> str:
        head, number, rest = key.split('.', 2)
        if number == '0':
            return f'first_coonv.{rest}'
        return f'{head}.{int(number) - 1}.{rest}'

    theirs = {
        'init_conv_mask.' + (cut(key) if key.startswith('features') else key): value
        for key, value in swin.state_dict().items()
    }
    theirs['downs.0.0.mlp.1.weight'] = torch.zeros(1)
    encoder = SwinEncoder('tiny')
    encoder.backbone.load_state_dict(swin_keys(theirs, 'init_conv_mask.'))
    condition = photo(1, 3, 64, 96)
    for level, expected in zip(encoder.eval()(condition), swin_levels(swin, condition)):
        torch.testing.assert_close(level, expected, atol=1e-4, rtol=1e-5)


@torch.no_grad()
def test_one_channel_sees_the_mean_of_the_colour_filters(swin_file, tmp_path):
    grey = photo(1, 1, 32, 32)
    encoder = loaded(SwinEncoder('tiny', swin_file, in_channels=1))
    embedded, _ = encoder.backbone.patch_embed(grey)
    colour, _ = loaded(SwinEncoder('tiny', swin_file)).backbone.patch_embed(
        grey.expand(-1, 3, -1, -1) / 3
    )
    torch.testing.assert_close(embedded, colour, atol=1e-5, rtol=1e-5)


def test_a_frozen_encoder_is_the_same_in_training(swin_file):
    encoder = SwinEncoder('tiny', swin_file, frozen=True)
    encoder.init_weights()
    condition = photo(1, 3, 32, 32)
    first, second = (encoder.train()(condition)[-1] for _ in range(2))
    assert torch.equal(first, second) and not first.requires_grad
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


def test_stochastic_depth_lives_in_training_alone(swin_file):
    encoder = SwinEncoder('tiny', swin_file)
    encoder.init_weights()
    condition = photo(1, 3, 32, 32)
    torch.manual_seed(0)
    assert encoder.train() is encoder and encoder.eval() is encoder
    encoder.train()
    first, second = (encoder(condition)[-1] for _ in range(2))
    assert not torch.equal(first, second)
    encoder.eval()
    assert torch.equal(encoder(condition)[-1], encoder(condition)[-1])


@pytest.mark.parametrize('depth', [18, 50])
@torch.no_grad()
def test_resnet_gives_torchvisions_features(torchvision, tmp_path, depth):
    network = shaken(getattr(torchvision.models, f'resnet{depth}')(weights=None))
    torch.save(network.state_dict(), tmp_path / 'resnet.pth')
    encoder = loaded(ResNetEncoder(depth, str(tmp_path / 'resnet.pth')))

    condition = photo(1, 3, 75, 50)
    features = encoder(condition)
    x = network.maxpool(network.relu(network.bn1(network.conv1(condition))))
    for i, level in enumerate(features, start=1):
        x = getattr(network, f'layer{i}')(x)
        torch.testing.assert_close(level, x, atol=1e-4, rtol=1e-4)
    assert tuple(level.shape[1] for level in features) == encoder.out_channels
    assert encoder(photo(1, 3, 1, 1))[-1].shape == (1, encoder.out_channels[-1], 1, 1)


@pytest.mark.parametrize('norm_eval', [True, False])
def test_statistics_stay_if_norms_are_in_evaluation(norm_eval):
    encoder = ResNetEncoder(18, norm_eval=norm_eval).train()
    before = encoder.backbone.bn1.running_mean.clone()
    encoder(photo(2, 3, 32, 32))
    assert torch.equal(before, encoder.backbone.bn1.running_mean) == norm_eval


@torch.no_grad()
def test_resnet_takes_one_channel(torchvision, tmp_path):
    network = torchvision.models.resnet18(weights=None)
    torch.save(network.state_dict(), tmp_path / 'resnet.pth')
    encoder = loaded(ResNetEncoder(18, str(tmp_path / 'resnet.pth'), in_channels=1))
    expected = network.conv1.weight.mean(dim=1, keepdim=True)
    torch.testing.assert_close(encoder.backbone.conv1.weight, expected)


def test_initialising_the_model_keeps_pretrained_weights(swin, swin_file):
    """MMEngine's init_weights goes through all modules and draws tables anew."""
    model = make_model(
        encoder=dict(type=SwinEncoder, arch='tiny', weights=swin_file),
        head=dict(channel_mult=(1, 1, 1, 1), condition_channels=(96, 192, 384, 768)),
    )
    model.init_weights()
    mine = model.condition_encoder.backbone.stages[0].blocks[0].attn.w_msa
    theirs = swin.features[1][0].attn
    for name in ('relative_position_bias_table', 'qkv.weight'):
        assert torch.equal(mine.get_parameter(name), theirs.get_parameter(name))


def test_all_of_swin_is_trained_and_encodes_any_size(swin_file):
    model = make_model(
        encoder=dict(type=SwinEncoder, arch='tiny', drop_path_rate=0.0),
        head=dict(channel_mult=(1, 1, 1, 1), condition_channels=(96, 192, 384, 768)),
    )
    # Two windows or more at the last level, else tables of shifts do not matter.
    total, _ = model.parse_losses(losses_of(model, make_data(1, (17, 260))))
    total.backward()
    dead = [
        name
        for name, parameter in model.condition_encoder.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert dead == []
    assert predictions(model, make_data(1, (5, 9)))[0].shape == (3, 5, 9)


def test_files_that_do_not_fit_are_refused_by_name(swin_file, tmp_path, torchvision):
    weights = torch.load(swin_file, weights_only=True)
    missing = dict(weights)
    del missing['features.1.0.attn.qkv.weight']
    torch.save(missing, tmp_path / 'missing.pth')
    with pytest.raises(
        ValueError, match=r'missing.pth has 1 weights missing.*w_msa.qkv'
    ):
        SwinEncoder('tiny', str(tmp_path / 'missing.pth')).init_weights()

    torch.save(weights | {'features.1.0.new': torch.ones(1)}, tmp_path / 'more.pth')
    with pytest.raises(ValueError, match=r"1.0.new' is not a weight of torchvision"):
        SwinEncoder('tiny', str(tmp_path / 'more.pth')).init_weights()

    with pytest.raises(ValueError, match=r'missing in the file.*stages\.2\.blocks\.'):
        SwinEncoder('small', swin_file).init_weights()
    with pytest.raises(ValueError, match=r'missing in the file, for instance bn1'):
        ResNetEncoder(18, swin_file).init_weights()
    with pytest.raises(
        FileNotFoundError, match=r'not found: .*none.pth.*Give the path'
    ):
        SwinEncoder('tiny', str(tmp_path / 'none.pth')).init_weights()


def test_unknown_sizes_are_refused_with_those_that_exist():
    with pytest.raises(ValueError, match=r"arch='huge'.*'tiny', 'small', 'base'"):
        SwinEncoder('huge')
    with pytest.raises(ValueError, match=r'depth=20.*18, 34, 50, 101, 152'):
        ResNetEncoder(20)


SWIN_B = 'swin_base_224_b16x64_300e_imagenet_20210616_190742-93230b0d.pth'


def test_names_of_the_zoo_are_files_in_the_hub_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    file = tmp_path / 'checkpoints' / SWIN_B
    file.parent.mkdir()
    file.touch()
    assert find_weights('swin-base_16xb64_in1k') == file


def test_without_network_the_file_and_its_folder_are_named(tmp_path, monkeypatch):
    def offline(*_):
        raise OSError('no route to host')

    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, 'download_url_to_file', offline)
    message = f'{SWIN_B} .no route to host.*put it into {tmp_path}/checkpoints'
    with pytest.raises(FileNotFoundError, match=message):
        find_weights('swin-base_16xb64_in1k')


def test_misspelt_names_of_the_zoo_are_refused_with_others():
    with pytest.raises(FileNotFoundError, match=r"'swin-bas'.*'swin-base_16xb64_in1k'"):
        find_weights('swin-bas')


@pytest.mark.parametrize(
    ('encoder_type', 'settings'), [(ResNetEncoder, dict(depth=18)), (ConvEncoder, {})]
)
def test_conditions_of_other_channels_are_refused_with_both_sides(
    encoder_type, settings
):
    encoder = encoder_type(in_channels=1, **settings)
    message = f'{encoder_type.__name__} takes .* 1 channels.* got 3'
    with pytest.raises(ValueError, match=message):
        encoder(photo(1, 3, 32, 32))


def test_a_small_encoder_has_its_widths_too():
    encoder = ConvEncoder(channels=(8, 16))
    features = encoder(photo(1, 3, 9, 9))
    assert tuple(level.shape[1] for level in features) == encoder.out_channels
