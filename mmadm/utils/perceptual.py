"""LPIPS, the learned perceptual distance; built from files, without network access."""

import logging
import warnings
from importlib.util import find_spec
from pathlib import Path

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from .weights import read_weights

#: Torchvision's name of VGG-16's ImageNet weights, which torch's hub folder keeps.
VGG_FILE = 'vgg16-397923af.pth'

#: No file: the distance is one of random features. For tests and dry runs.
RANDOM = 'random'


def build_lpips(weights: str | Path | None = None) -> nn.Module:
    """LPIPS of VGG-16 with the linear heads of version 0.1, frozen.

    Zhang et al., *The unreasonable effectiveness of deep features as a perceptual
    metric*. The result takes two batches (N, C, H, W) in [-1, 1], RGB or one channel,
    and gives (N, 1, 1, 1). It has no dropout, so training and evaluation mode are one.

    Args:
        weights: torchvision's file of VGG-16; None looks for it where torch's hub
            keeps it, 'random' does without.

    Raises:
        FileNotFoundError: the file is not there.
        ValueError: the file is broken or is not VGG-16's.
    """
    if weights != RANDOM:
        path = Path(weights or Path(torch.hub.get_dir(), 'checkpoints', VGG_FILE))
        _check_exists(path)
    from lpips import LPIPS

    # On the meta device, because all of VGG-16 with its classifier is built on the way.
    with warnings.catch_warnings(), torch.device('meta'):
        warnings.simplefilter('ignore', UserWarning)  # lpips' use of torchvision
        network = LPIPS(
            net='vgg',
            pretrained=False,
            pnet_rand=True,
            use_dropout=False,
            verbose=False,
        )
    features = _random(network.net) if weights == RANDOM else _vgg(network.net, path)
    network.net.load_state_dict(features, assign=True)
    network.lins.load_state_dict(_heads(), assign=True)
    return network.requires_grad_(False).eval()


def _check_exists(path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(
            f'VGG-16 weights for LPIPS not found: {path}. Put {VGG_FILE} (torchvision, '
            f'https://download.pytorch.org/models/{VGG_FILE}) into that folder, give '
            "another path, or 'random' for a dry run without a meaning."
        )


def _vgg(network: nn.Module, path: Path) -> dict[str, Tensor]:
    """Torchvision's 'features.5.weight' is 'slice2.5.weight' here."""
    file, wanted = read_weights(path), network.state_dict()
    names = {key: f'features.{key.split(".", 1)[1]}' for key in wanted}
    wrong = [
        name
        for key, name in names.items()
        if name not in file or file[name].shape != wanted[key].shape
    ]
    if wrong:
        raise ValueError(
            f'Not the weights of VGG-16: {path} lacks {", ".join(wrong[:3])} or has '
            f"them in another shape. Use torchvision's {VGG_FILE}."
        )
    return {key: file[name] for key, name in names.items()}


def _random(network: nn.Module) -> dict[str, Tensor]:
    print_log(
        "LPIPS with weights='random': its distances mean nothing. Use it for tests "
        'and dry runs only.',
        'current',
        level=logging.WARNING,
    )
    weights = {}
    for key, tensor in network.state_dict().items():
        weights[key] = torch.zeros(tensor.shape)
        if tensor.dim() > 1:
            nn.init.kaiming_normal_(weights[key])
    return weights


def _heads() -> dict[str, Tensor]:
    """The heads that lpips brings: 'lin0.model.1.weight' to '0.model.0.weight'."""
    path = Path(find_spec('lpips').origin).parent / 'weights' / 'v0.1' / 'vgg.pth'
    heads = read_weights(path)
    return {f'{key[3]}.model.0.weight': value for key, value in heads.items()}
