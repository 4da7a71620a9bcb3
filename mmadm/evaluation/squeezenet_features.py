"""SqueezeNet features for Frechet distances that need no large download."""

import hashlib
import logging
from importlib.metadata import version
from pathlib import Path

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor, nn

from mmadm.utils.squeezenet import read_squeezenet

from .feature_extractor import RANDOM, FeatureExtractor, draw_weights

#: Names of torchvision's file and of the original release's, looked for in this order.
WEIGHT_FILES = ('squeezenet1_1-b8a52dc0.pth', 'squeezenet_v1.1_imagenet_fp16.npz')
_SIDE = 224


class SqueezeNetFeatures(FeatureExtractor):
    """Mean of SqueezeNet 1.1's last feature map, 512 numbers per 8-bit image.

    Images are resized to 224 x 224 (bilinear). The network classifies ImageNet with
    80 % top-5 accuracy and has 0.7 M weights in its features: distances are indicative,
    and are not FID.

    Args:
        weights: torchvision's file, or a ``.npz`` of the original Caffe weights, see
            :func:`mmadm.utils.squeezenet.read_squeezenet`; None looks for one of them
            in torch's folder for downloads; 'random' draws weights with a fixed seed,
            for tests of a pipeline.

    Raises:
        FileNotFoundError: there are no weights.
        ValueError: the file is broken or another network's.
    """

    dim = 512
    name = 'squeezenet'

    def __init__(self, weights: str | None = None) -> None:
        from torchvision.models import squeezenet1_1

        self.is_random = weights == RANDOM
        self.network = squeezenet1_1(weights=None).features.eval()
        if self.is_random:
            draw_weights(self.network)
            digest = RANDOM
            print_log(
                "SqueezeNet with weights='random': use its scores only to test a "
                'pipeline.',
                'current',
                logging.WARNING,
            )
        else:
            path = _find(weights)
            _load(self.network, path)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        self.network.requires_grad_(False)
        self.identity = dict(
            extractor=f'squeezenet-1.1 mean of the features, bilinear {_SIDE}',
            weights_sha256=digest,
        )
        self.libraries = dict(torchvision=version('torchvision'))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, 512) of uint8 images (N, 3, H, W); there are no logits."""
        x = F.interpolate(images.float() / 255, (_SIDE, _SIDE), mode='bilinear')
        mean = x.new_tensor([0.485, 0.456, 0.406])[:, None, None]
        std = x.new_tensor([0.229, 0.224, 0.225])[:, None, None]
        features = self.network((x - mean) / std).mean(dim=(2, 3))
        return features, features[:, :0]


def _find(weights: str | None) -> Path:
    folder = Path(torch.hub.get_dir(), 'checkpoints')
    paths = [Path(weights)] if weights else [folder / name for name in WEIGHT_FILES]
    for path in paths:
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"SqueezeNet weights not found: {paths[0]}. Put torchvision's "
        f'{WEIGHT_FILES[0]} (5 MB) or a .npz of the original Caffe weights into that '
        "folder, or give the file's path with weights=... of the evaluator."
    )


def _load(network: nn.Module, path: Path) -> None:
    weights = {
        key.removeprefix('features.'): value
        for key, value in read_squeezenet(path).items()
        if key.startswith('features.')
    }
    wanted = {key: value.shape for key, value in network.state_dict().items()}
    if {key: value.shape for key, value in weights.items()} != wanted:
        raise ValueError(
            f'Not the weights of SqueezeNet 1.1: {path} has other layers or shapes. '
            f"Use torchvision's {WEIGHT_FILES[0]}."
        )
    network.load_state_dict(weights)
