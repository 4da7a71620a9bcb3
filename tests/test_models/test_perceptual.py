"""LPIPS: built from files, frozen, equal to the authors' numbers."""

import logging

import pytest
import torch
from torch import Tensor, nn

from mmadm.models import ReconstructionLoss
from mmadm.utils import perceptual
from mmadm.utils.perceptual import FILES, build_lpips
from tests.golden import assert_golden, formula, waves

X = waves((2, 3, 32, 32), 0.61, 0.4, 0.9)
Y = waves((2, 3, 32, 32), 0.45, 0.1, 0.8)


def lpips_names(network: nn.Module) -> dict[str, str]:
    """Ours -> theirs: a dropout stands before each of their heads."""
    names = [key for key in network.state_dict() if not key.startswith('scaling_layer')]
    heads = {f'lins.{i}.model.0.weight': f'lin{i}.model.1.weight' for i in range(5)}
    heads |= {f'lin{i}.model.0.weight': f'lin{i}.model.1.weight' for i in range(5)}
    return {name: heads.get(name, name) for name in names}


def fill_lpips(network: nn.Module, prefix: str = '') -> None:
    state = network.state_dict()
    for ours, theirs in lpips_names(network).items():
        state[ours] = formula(prefix + theirs, state[ours].shape)
    network.load_state_dict(state)


@pytest.fixture
def random_lpips() -> nn.Module:
    return build_lpips('random')


@pytest.fixture(scope='module')
def vgg_state() -> dict[str, Tensor]:
    """Torchvision's layout, without the 124 M parameters of the classifier."""
    from torchvision.models import vgg16

    with torch.device('meta'):
        layers = vgg16().features.state_dict()
    return {f'features.{k}': formula(k, v.shape) for k, v in layers.items()}


def test_it_gives_the_distances_of_the_authors_network(random_lpips):
    fill_lpips(random_lpips)
    golden = (-0.001247157, 7.419393e-05, 0.002494313, -0.001195, -0.001300)
    assert_golden(random_lpips(X, Y), golden)


def test_it_is_small_frozen_and_the_same_in_both_modes(random_lpips):
    assert sum(p.numel() for p in random_lpips.parameters()) == 14_716_160
    assert not any(p.requires_grad for p in random_lpips.parameters())
    before = random_lpips.eval()(X, Y)
    assert torch.equal(random_lpips.train()(X, Y), before)


def test_one_channel_counts_as_grey(random_lpips):
    grey = [x[:, :1] for x in (X, Y)]
    rgb = [x.expand(-1, 3, -1, -1) for x in grey]
    torch.testing.assert_close(random_lpips(*grey), random_lpips(*rgb))


def test_random_weights_are_logged_loudly(monkeypatch):
    logged = []
    monkeypatch.setattr(
        perceptual, 'print_log', lambda text, *_, level: logged.append((level, text))
    )
    build_lpips('random')
    assert logged[0][0] == logging.WARNING and 'meaningless' in logged[0][1]


def test_weights_come_from_torchvisions_file(vgg_state, tmp_path, monkeypatch):
    """By path, or from the folder where torch's hub keeps them."""
    folder = tmp_path / 'hub' / 'checkpoints'
    folder.mkdir(parents=True)
    torch.save(vgg_state, folder / FILES['vgg'])
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    for network in (build_lpips(), build_lpips(folder / FILES['vgg'])):
        layers = network.net.state_dict()
        assert len(layers) == 26
        for key, weight in layers.items():
            assert torch.equal(weight, vgg_state[f'features.{key.split(".", 1)[1]}'])


@pytest.mark.filterwarnings('ignore::UserWarning')  # lpips' use of torchvision
@pytest.mark.parametrize('name', ['alex', 'squeeze'])
def test_other_networks_equal_the_package_with_the_same_weights(name, tmp_path):
    """Which compares torchvision's layers one after the other."""
    from lpips import LPIPS
    from torchvision import models

    torch.manual_seed(0)
    official = LPIPS(net=name, pretrained=True, pnet_rand=True, verbose=False).eval()
    build = dict(alex=models.alexnet, squeeze=models.squeezenet1_1)[name]
    with torch.device('meta'):
        layers = build().features.state_dict()
    state = {f'features.{k}': torch.randn(v.shape) * 0.05 for k, v in layers.items()}
    torch.save(state, tmp_path / FILES[name])
    theirs = {k: f'features.{k.split(".", 1)[1]}' for k in official.net.state_dict()}
    official.net.load_state_dict({k: state[v] for k, v in theirs.items()})
    ours = build_lpips(tmp_path / FILES[name], name)
    x, y = (torch.rand(2, 3, 64, 64) * 2 - 1 for _ in range(2))
    distance = ours(x, y)
    assert (distance > 0).all()
    torch.testing.assert_close(distance, official(x, y))


def test_an_unknown_network_is_refused():
    with pytest.raises(ValueError, match=r"network='vgg19'\. Use one of vgg, alex"):
        build_lpips('random', 'vgg19')


def test_the_heads_are_those_of_version_0_1(random_lpips):
    """Their first numbers, as in the package's file."""
    first = random_lpips.lin0.model[0].weight.flatten()
    assert len(first) == 64 and (first >= 0).all() and first.any()
    names = dict(random_lpips.named_parameters())
    assert not any(p.is_meta for p in names.values())


def test_a_missing_file_is_named_before_anything_is_built(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    with pytest.raises(FileNotFoundError) as error:
        ReconstructionLoss()
    message = str(error.value)
    assert str(tmp_path / 'checkpoints' / FILES['vgg']) in message
    assert 'download.pytorch.org' in message and "'random'" in message


def test_another_network_is_refused(vgg_state, tmp_path):
    path = tmp_path / 'other.pth'
    torch.save({k: v for k, v in vgg_state.items() if '28' not in k}, path)
    with pytest.raises(ValueError, match=r'other\.pth lacks features\.28'):
        build_lpips(path)


def test_nothing_in_the_file_runs(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (print, ('boom',))

    path = tmp_path / 'bomb.pth'
    torch.save(dict(features=Bomb()), path)
    with pytest.raises(ValueError, match=r'Refused to load .*bomb\.pth'):
        build_lpips(path)


def test_without_lpips_no_file_is_needed(monkeypatch):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: '/nowhere')
    loss = ReconstructionLoss(lpips_weight=0)
    error = (X - Y).abs()
    torch.testing.assert_close(loss(X, Y), error + error**2)


def test_the_distance_of_an_image_counts_at_each_of_its_pixels():
    torch.manual_seed(0)
    loss = ReconstructionLoss(lpips_weight=2.0, lpips_weights='random')
    distance = loss(X, Y) - (X - Y).abs() - (X - Y) ** 2
    torch.testing.assert_close(
        distance, (2 * loss.lpips(X, Y)).expand_as(X), rtol=1e-3, atol=1e-5
    )
