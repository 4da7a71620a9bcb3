"""LPIPS, the learned perceptual distance, built from files without network access."""

import logging
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from mmadm.checkpoints import read_weights

from .squeezenet import is_caffe, read_squeezenet

#: Torchvision's file names of the ImageNet weights in the cache of torch's hub.
FILES = {
    'vgg': 'vgg16-397923af.pth',
    'alex': 'alexnet-owt-7be5be79.pth',
    'squeeze': 'squeezenet1_1-b8a52dc0.pth',
}

#: Instead of a file: random features. For tests and dry runs.
RANDOM = 'random'


def build_lpips(
    weights: str | Path | None = None,
    network: Literal['vgg', 'alex', 'squeeze'] = 'vgg',
) -> nn.Module:
    """LPIPS with the linear heads of version 0.1, frozen.

    Zhang et al., *The unreasonable effectiveness of deep features as a perceptual
    metric*. The result takes two batches (N, C, H, W) in [-1, 1], RGB or one channel,
    and returns (N, 1, 1, 1). It has no dropout, so training and evaluation mode are
    equal.

    Args:
        weights: torchvision's file of the network; None uses the cache of torch's hub,
            'random' needs no file. Those of SqueezeNet may also be Caffe's, see
            :func:`~mmadm.utils.squeezenet.read_squeezenet`. The linear heads were not
            fitted to them, so all channels count alike, as in the paper's distances
            without calibration: the result is like LPIPS, but not LPIPS.
        network: the network whose features are compared: VGG-16, the usual one for
            training, AlexNet, the usual one for evaluation, or SqueezeNet 1.1, the
            smallest.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is corrupted or belongs to another network, or there is no
            such network.
    """
    if network not in FILES:
        raise ValueError(
            f'LPIPS has no network={network!r}. Use one of {", ".join(FILES)}.'
        )
    name = FILES[network]
    path = Path(weights or Path(torch.hub.get_dir(), 'checkpoints', name))
    if weights != RANDOM:
        _check_exists(path, name)
    from lpips import LPIPS

    # On the meta device, because lpips builds a whole classifier.
    with warnings.catch_warnings(), torch.device('meta'):
        warnings.simplefilter('ignore', UserWarning)  # lpips' use of torchvision
        lpips = LPIPS(
            net=network,
            pretrained=False,
            pnet_rand=True,
            use_dropout=False,
            verbose=False,
        )
    random = weights == RANDOM
    features = _random(lpips.net) if random else _features(lpips.net, path, name)
    lpips.net.load_state_dict(features, assign=True)
    heads = _heads(network)
    if is_caffe(weights):
        heads = {key: torch.ones_like(value) for key, value in heads.items()}
    lpips.lins.load_state_dict(heads, assign=True)
    return lpips.requires_grad_(False).eval()


def lpips_name(weights: str | Path | None, network: str) -> str:
    """Name of a score by :func:`build_lpips` of these arguments."""
    if weights == RANDOM:
        return f'lpips_{network}_random_weights'
    return f'lpips_like_{network}' if is_caffe(weights) else f'lpips_{network}'


def _check_exists(path: Path, name: str) -> None:
    if not path.is_file():
        raise FileNotFoundError(
            f'Weights for LPIPS not found: {path}. Put {name} (torchvision, '
            f'https://download.pytorch.org/models/{name}) into that folder, give '
            "another path, or 'random' for a dry run with meaningless distances."
        )


def _features(network: nn.Module, path: Path, name: str) -> dict[str, Tensor]:
    """Torchvision's 'features.5.weight' is 'slice2.5.weight' here."""
    file, expected = read_squeezenet(path), network.state_dict()
    names = {key: f'features.{key.split(".", 1)[1]}' for key in expected}
    wrong = [
        theirs
        for key, theirs in names.items()
        if theirs not in file or file[theirs].shape != expected[key].shape
    ]
    if wrong:
        raise ValueError(
            f'These are not the weights that LPIPS needs: {path} lacks '
            f'{", ".join(wrong[:3])} or has them in another shape. Use '
            f"torchvision's {name}."
        )
    return {key: file[theirs] for key, theirs in names.items()}


def _random(network: nn.Module) -> dict[str, Tensor]:
    print_log(
        "LPIPS with weights='random': its distances are meaningless. Use it for tests "
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


def _heads(network: str) -> dict[str, Tensor]:
    """The linear heads of lpips: 'lin0.model.1.weight' to '0.model.0.weight'."""
    folder = Path(find_spec('lpips').origin).parent / 'weights' / 'v0.1'
    heads = read_weights(folder / f'{network}.pth')
    return {f'{key[3]}.model.0.weight': value for key, value in heads.items()}
