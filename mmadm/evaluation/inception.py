"""The Inception network of FID, with weights from a file."""

import hashlib
import io
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

#: The same file under the names that torch-fidelity and pytorch-fid give it.
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
#: Images that go through the network at once: 299 x 299 pixels each.
_CHUNK = 50


class InceptionFeatures:
    """8-bit images to what FID, KID, precision and recall, and IS compare.

    The graph of 2015-12-05 as torch-fidelity ports it: TensorFlow 1's bilinear resize
    to 299 x 299 whatever the size and the aspect ratio, pool3 features, logits without
    their bias. Always float32, without autocast and TF32, in evaluation mode.

    Args:
        weights: path of the weights; None looks for the file in torch's folder for
            downloads; 'random' draws weights with a fixed seed, which tests a pipeline
            but gives no score that could be compared.

    Raises:
        FileNotFoundError: there are no weights.
        ValueError: the file is not the network of 2015-12-05.
    """

    #: Number of pool3 features.
    dim = 2048

    def __init__(self, weights: str | None = None) -> None:
        self.is_random = weights == 'random'
        if self.is_random:
            self.network = _blank_network()
            _draw_weights(self.network)
            digest = 'random'
            print_log(
                "Inception with weights='random': its scores mean nothing beyond a "
                'test of the pipeline.',
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
        #: What must agree between two sets of features that are compared.
        self.identity = dict(
            extractor='inception-2015-12-05 pool3, TensorFlow 1 bilinear 299',
            weights_sha256=digest,
        )

    @torch.no_grad()
    def __call__(self, images: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Features (N, 2048) and logits (N, 1008), float32, where the images are.

        Args:
            images: uint8, (3, H, W) RGB or (1, H, W) grey, which is repeated; sizes may
                differ.

        Raises:
            ValueError: an image has neither 1 nor 3 channels.
        """
        device = images[0].device
        self.network.to(device)
        parts = []
        with torch.autocast(device.type, enabled=False), _full_precision():
            for _, group in groupby(map(_as_rgb, images), lambda image: image.shape):
                for chunk in torch.stack(list(group)).split(_CHUNK):
                    parts.append(self.network(chunk))
        features, logits = zip(*parts)
        return torch.cat(features), torch.cat(logits)


def _as_rgb(image: Tensor) -> Tensor:
    if image.shape[0] not in (1, 3):
        raise ValueError(
            'Inception sees RGB or grey images, but this one has the shape '
            f'{tuple(image.shape)}. Give (3, H, W) or (1, H, W).'
        )
    return image.expand(3, -1, -1)


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
    """torch-fidelity's network in evaluation mode, its weights still to come."""
    from torch_fidelity.feature_extractor_inceptionv3 import (
        FeatureExtractorInceptionV3,
    )

    class Blank(FeatureExtractorInceptionV3):
        """Gets its weights afterwards: the library would run code from their file."""

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


def _draw_weights(network: nn.Module) -> None:
    """He's initialisation, which keeps the size of activations, with a fixed seed."""
    generator = torch.Generator().manual_seed(0)
    for weight in network.parameters():
        if weight.ndim > 1:
            nn.init.kaiming_normal_(weight, generator=generator)


@contextmanager
def _full_precision() -> Iterator[None]:
    """Neither TF32 nor algorithms chosen by their speed."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision('highest')
    try:
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
