"""A trained model, prepared for inference alone."""

import torch
from torch import nn

# Layers without further weights inside, which autocast computes in its type.
_AUTOCAST = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)


def prepare_inference(model: nn.Module) -> nn.Module:
    """A faster form of a model that is not trained further; changes it in place.

    The outputs change by rounding. Maps of features are kept as (N, H, W, C) in memory,
    in which convolutions are faster, on CPUs too.
    """
    fold_weights(model)
    return model.to(memory_format=torch.channels_last).eval()


def fold_weights(module: nn.Module) -> None:
    """Replace layers that compute their weights at each call, in place.

    The outputs stay the same, bit by bit. The layers can no longer be trained.
    """
    for name, child in list(module.named_children()):
        if hasattr(child, 'folded'):
            setattr(module, name, child.folded())
        else:
            fold_weights(child)


def cast_weights(module: nn.Module, dtype: torch.dtype) -> None:
    """Keep the weights of convolutions and matrix products in a shorter type, in place.

    Autocast computes these layers in that type: inside of it the outputs stay the same,
    bit by bit, but no weight is converted at each call. Outside of it they fail.
    """
    for layer in module.modules():
        if isinstance(layer, _AUTOCAST):
            layer.to(dtype)
