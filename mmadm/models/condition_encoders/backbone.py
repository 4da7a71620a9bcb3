"""Base class and helpers of condition encoders with pretrained backbones."""

import warnings
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmadm.checkpoints.weights import check_fit, read_weights

_SUFFIXES = ('.pth', '.pt', '.safetensors')


class PretrainedEncoder(BaseModule):
    """Base class of condition encoders with a pretrained backbone.

    Args:
        backbone: returns one feature map per level.
        in_channels: channels of the condition.
        out_channels: width of each level.
        weights: a file, or a name of MMPretrain's model zoo; read when training starts
            (``init_weights``), so that a trained model needs no file.
        frozen: do not train the backbone, and keep it in evaluation mode.
    """

    def __init__(
        self,
        backbone: nn.Module,
        in_channels: int,
        out_channels: Sequence[int],
        weights: str | None = None,
        frozen: bool = False,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.in_channels = in_channels
        #: Width of each level.
        self.out_channels = tuple(out_channels)
        self.weights = weights
        self.frozen = frozen
        if frozen:
            self.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> 'PretrainedEncoder':
        """Set the mode of the backbone, unless it is frozen."""
        return super().train(mode and not self.frozen)

    def init_weights(self) -> None:
        """Load the pretrained weights if there are any, else initialise randomly.

        Raises:
            FileNotFoundError: there is no such file, and it cannot be downloaded.
            ValueError: the weights do not fit the backbone.
        """
        if self.weights is None:
            super().init_weights()
            return
        path = find_weights(self.weights)
        weights = self.adapt(_without_prefix(read_weights(path)))
        check_fit(self.backbone, weights, path)
        self.backbone.load_state_dict(weights)

    @abstractmethod
    def adapt(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights of a published file with the names and shapes of the backbone."""

    def forward(self, condition: Tensor) -> tuple[Tensor, ...]:
        """(N, C, H, W) to one map per level, shallow to deep.

        Raises:
            ValueError: the condition has other channels than the encoder.
        """
        check_condition(condition, self)
        return self.backbone(condition)


def check_condition(condition: Tensor, encoder: nn.Module) -> None:
    """Refuse a condition (N, C, H, W) of other channels than ``encoder`` takes."""
    if condition.shape[1] != encoder.in_channels:
        raise ValueError(
            f'{type(encoder).__name__} takes conditions of {encoder.in_channels} '
            f'channels, but got {condition.shape[1]}. Set in_channels of the '
            'condition encoder, or pack another array as condition.'
        )


def build_backbone(backbone_type: type[nn.Module], *args, **kwargs) -> nn.Module:
    """A backbone on the default device, which may be the meta device.

    MMPretrain reads the drop path rates from a tensor, which needs values.
    """
    device = torch.get_default_device()
    with torch.device('cpu'):
        backbone = backbone_type(*args, **kwargs)
    return backbone.to(device)


def find_weights(weights: str) -> Path:
    """The path of published weights.

    Args:
        weights: a path, or a name of MMPretrain's model zoo, such as
            ``'swin-base_16xb64_in1k'``. The file of a name is searched in the cache of
            torch's hub, and downloaded if it is not there.

    Raises:
        FileNotFoundError: there is no such file or name, or it cannot be downloaded.
    """
    if weights.endswith(_SUFFIXES) or Path(weights).is_file():
        return Path(weights)
    url = _published(weights)
    path = Path(torch.hub.get_dir(), 'checkpoints', url.rsplit('/', 1)[1])
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path))
        except OSError as error:
            raise FileNotFoundError(
                f'Weights {weights!r} are not cached and cannot be downloaded: '
                f'{path.name} ({error}). Download {url} elsewhere, put it into '
                f'{path.parent}, or give the path of a file.'
            ) from error
    return path


def _published(name: str) -> str:
    """URL of the weights of that name."""
    with quiet():
        from mmpretrain.apis import ModelHub, list_models
    if name not in list_models():
        family = name.split('-')[0].split('_')[0]
        similar = list_models(f'{family}*_in1k')[:5]
        raise FileNotFoundError(
            f'Weights {name!r} are neither a file ({", ".join(_SUFFIXES)}) nor a name '
            f'of MMPretrain. Give a path, or one of its names, such as {similar}.'
        )
    return ModelHub.get(name).weights


def only_luma(weights: Mapping[str, Tensor], key: str) -> dict[str, Tensor]:
    """Weights for conditions of one channel: the first convolution averaged over RGB.

    Args:
        weights: a state dict.
        key: name of the first convolution's weight.
    """
    return {**weights, key: weights[key].mean(dim=1, keepdim=True)}


@contextmanager
def quiet() -> Iterator[None]:
    """Without MMPretrain's warnings of compiled operators, which are not needed."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', UserWarning)
        yield


def _without_prefix(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Only the backbone of a classifier of MMPretrain."""
    inside = {
        key.removeprefix('backbone.'): tensor
        for key, tensor in weights.items()
        if key.startswith('backbone.')
    }
    return inside or weights
