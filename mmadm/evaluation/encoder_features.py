"""Features of a shipped model's condition encoder: they need no download."""

import hashlib
from importlib.metadata import version
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

from mmadm.checkpoints import resolve_model
from mmadm.checkpoints.weights import check_fit
from mmadm.registry import MODELS

from .feature_extractor import FeatureExtractor

_SIDE = 64
_PREFIX = 'condition_encoder.'


class EncoderFeatures(FeatureExtractor):
    """Mean of the deepest feature map of a condition encoder, per 8-bit image.

    Images are resized to 64 x 64 (bilinear, antialiased). The encoder was trained for
    the task of its model and is small: distances show whether samples come nearer to
    the real images, and are not FID.

    Args:
        model: name of a shipped model, such as ``'adm_edge_small'``, or a published
            file.
        weights: a checkpoint, in place of the published weights.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: there is no such model, it has no weights, or no encoder of colour
            images.
    """

    is_random = False

    def __init__(self, model: str = 'adm_edge_small', weights: str | None = None):
        source = resolve_model(model, weights)
        config = source.config.model
        encoder = config.get('condition_encoder')
        if encoder is None or source.checkpoint is None:
            raise ValueError(
                f'The model {model} has no trained condition encoder whose features '
                'could be compared. Use adm_edge_small.'
            )
        self.network = MODELS.build(encoder).eval().requires_grad_(False)
        if self.network.in_channels != 3:
            raise ValueError(
                f'The condition encoder of {model} takes {self.network.in_channels} '
                'channels, but features are those of colour images. Use '
                'adm_edge_small.'
            )
        self.network.load_state_dict(_own_weights(self.network, source))
        self.name = Path(model).stem
        self.dim = self.network.out_channels[-1]
        self.mean, self.std = _scaling(config.get('data_preprocessor') or {})
        self.identity = dict(
            extractor=f'condition encoder of {self.name}, mean, bilinear {_SIDE}',
            weights_sha256=hashlib.sha256(Path(source.path).read_bytes()).hexdigest(),
        )
        self.libraries = dict(mmadm=version('mmadm'))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, D) of uint8 images (N, 3, H, W); there are no logits."""
        size = (_SIDE, _SIDE)
        x = F.interpolate(images.float(), size, mode='bilinear', antialias=True)
        mean, std = (x.new_tensor(v)[:, None, None] for v in (self.mean, self.std))
        features = self.network((x - mean) / std)[-1].mean(dim=(2, 3))
        return features, features[:, :0]


def _own_weights(network, source) -> dict[str, Tensor]:
    state = source.checkpoint.get('state_dict', source.checkpoint)
    weights = {
        key.removeprefix(_PREFIX): value
        for key, value in state.items()
        if key.startswith(_PREFIX)
    }
    check_fit(network, weights, source.path)
    return weights


def _scaling(preprocessor: dict) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of the encoder's input, in 0..255."""
    return preprocessor.get('mean', (127.5,)), preprocessor.get('std', (127.5,))
