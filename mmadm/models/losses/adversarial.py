"""The discriminator of the first stage's training, and its adaptive weight."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmadm.registry import MODELS


@MODELS.register_module()
class PatchDiscriminator(nn.Module):
    """PatchGAN: one logit for each patch of the image; 2,765,633 parameters for RGB.

    Isola et al., *Image-to-image translation with conditional adversarial networks*.

    Args:
        in_channels: channels of the image.
        base_channels: width after the first convolution; doubled by each further one,
            up to eight times.
        num_layers: convolutions of stride 2.
    """

    def __init__(
        self, in_channels: int = 3, base_channels: int = 64, num_layers: int = 3
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        width = base_channels
        layers = [nn.Conv2d(in_channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        for i in range(1, num_layers + 1):
            before, width = width, base_channels * min(2**i, 8)
            stride = 2 if i < num_layers else 1
            layers += [
                nn.Conv2d(before, width, 4, stride, 1, bias=False),
                nn.BatchNorm2d(width),
                nn.LeakyReLU(0.2),
            ]
        self.main = nn.Sequential(*layers, nn.Conv2d(width, 1, 4, 1, 1))
        self.apply(_init)

    def forward(self, image: Tensor) -> Tensor:
        """(N, C, H, W), [-1, 1], to logits (N, 1, H', W'), high for real patches."""
        return self.main(image)

    def judge(self, image: Tensor) -> Tensor:
        """The logits, with gradient for the image but not for the weights."""
        fixed = {name: weight.detach() for name, weight in self.named_parameters()}
        return torch.func.functional_call(self, fixed, (image,))


def _init(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)


def hinge_loss(real: Tensor, fake: Tensor) -> Tensor:
    """``(mean max(0, 1 - real) + mean max(0, 1 + fake)) / 2`` of logits, one number."""
    return (F.relu(1 - real).mean() + F.relu(1 + fake).mean()) / 2


def adaptive_weight(likelihood: Tensor, adversarial: Tensor, weight: Tensor) -> Tensor:
    """``|grad likelihood| / (|grad adversarial| + 1e-4)``, at most 1e4.

    Esser et al., *Taming transformers for high-resolution image synthesis*: so both
    terms have equal gradients at the decoder's last layer.

    Args:
        likelihood: negative log-likelihood, one number.
        adversarial: the generator's term, one number.
        weight: weights of the last layer, by which both are differentiated.
    """
    likelihood_norm, adversarial_norm = (
        torch.autograd.grad(term, weight, retain_graph=True)[0].float().norm()
        for term in (likelihood, adversarial)
    )
    return (likelihood_norm / (adversarial_norm + 1e-4)).clamp(0, 1e4)
