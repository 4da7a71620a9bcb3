"""The Inception network of FID, with weights from a file."""

import hashlib
import io
import logging
from importlib.metadata import version
from pathlib import Path

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from .feature_extractor import RANDOM, FeatureExtractor, draw_weights

#: Names of one and the same file in torch-fidelity and in pytorch-fid.
WEIGHT_FILES = (
    'weights-inception-2015-12-05-6726825d.pth',
    'pt_inception-2015-12-05-6726825d.pth',
)
_DIGEST = '6726825d'
_ADVICE = (
    f'Download {WEIGHT_FILES[0]} (an asset of the release v0.2.0 of toshas/'
    'torch-fidelity on GitHub, 91 MiB) into that folder, or give its path with '
    'weights=... of the evaluator.'
)


class InceptionFeatures(FeatureExtractor):
    """Inception features of 8-bit images, for FID, KID, precision and recall, and IS.

    The graph of 2015-12-05 as ported by torch-fidelity: TensorFlow 1's bilinear resize
    to 299 x 299 whatever the size and the aspect ratio, pool3 features, logits without
    their bias.

    Args:
        weights: path of the weights; None looks for the file in torch's folder for
            downloads; 'random' draws weights with a fixed seed, for tests of a
            pipeline: such scores have no meaning.

    Raises:
        FileNotFoundError: there are no weights.
        ValueError: the file is not the network of 2015-12-05.
    """

    dim = 2048
    name = 'inception'

    def __init__(self, weights: str | None = None) -> None:
        self.is_random = weights == RANDOM
        if self.is_random:
            self.network = _blank_network()
            draw_weights(self.network)
            digest = RANDOM
            print_log(
                "Inception with weights='random': use its scores only to test a "
                'pipeline.',
                'current',
                logging.WARNING,
            )
        else:
            path = _find(weights)
            content = path.read_bytes()
            digest = _check_digest(content, path)
            self.network = _blank_network()
            state = torch.load(io.BytesIO(content), 'cpu', weights_only=True)
            self.network.load_state_dict(state)
        self.identity = dict(
            extractor='inception-2015-12-05 pool3, TensorFlow 1 bilinear 299',
            weights_sha256=digest,
        )
        self.libraries = dict(torch_fidelity=version('torch-fidelity'))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, 2048) and logits (N, 1008) of uint8 images (N, 3, H, W)."""
        return self.network(images)


def _find(weights: str | None) -> Path:
    folder = Path(torch.hub.get_dir(), 'checkpoints')
    paths = [Path(weights)] if weights else [folder / name for name in WEIGHT_FILES]
    for path in paths:
        if path.is_file():
            return path
    raise FileNotFoundError(f'Inception weights not found: {paths[0]}. {_ADVICE}')


def _check_digest(content: bytes, path: Path) -> str:
    digest = hashlib.sha256(content).hexdigest()
    if not digest.startswith(_DIGEST):
        raise ValueError(
            f'Not the Inception weights of 2015-12-05: {path} has the SHA-256 '
            f'{digest[:8]}..., not {_DIGEST}..., so it is incomplete or another '
            f'network. {_ADVICE}'
        )
    return digest


def _blank_network() -> nn.Module:
    """torch-fidelity's network in evaluation mode, without weights."""
    from torch_fidelity.feature_extractor_inceptionv3 import (
        FeatureExtractorInceptionV3,
    )

    class Blank(FeatureExtractorInceptionV3):
        """Weights are loaded later: the library's own loading may run code."""

        def load_state_dict(self, state_dict: dict, **kwargs):
            return super().load_state_dict(state_dict, strict=bool(state_dict))

    nothing = io.BytesIO()
    torch.save({}, nothing)
    nothing.seek(0)
    return Blank(
        'inception-v3-compat',
        ['2048', 'logits_unbiased'],
        feature_extractor_weights_path=nothing,
    )
