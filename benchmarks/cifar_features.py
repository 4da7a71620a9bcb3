"""Features of small images, for Frechet distances."""

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmadm.evaluation.frechet import FeatureStatistics, StreamingMoments

#: Images (N, 3, H, W), uint8, to features (N, D), float64.
Features = Callable[[Tensor], Tensor]


def statistics(features: Tensor) -> FeatureStatistics:
    """Mean and covariance of features (N, D)."""
    moments = StreamingMoments(features.shape[1])
    moments.add(features)
    return moments.statistics()


class ResidualBlock(nn.Module):
    """Residual block of two convolutions; the shortcut has no weights."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.stride = channels // in_channels
        self.conv1 = nn.Conv2d(in_channels, channels, 3, self.stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        h = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        extra = (h.shape[1] - x.shape[1]) // 2
        shortcut = x[..., :: self.stride, :: self.stride]
        return F.relu(h + F.pad(shortcut, (0, 0, 0, 0, extra, extra)))


class ResNet56(nn.Module):
    """He et al.'s residual network for CIFAR-10: three levels of nine blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        widths = [(16, 16), (16, 32), (32, 64)]
        for i, (before, width) in enumerate(widths, 1):
            blocks = [ResidualBlock(before, width)]
            blocks += [ResidualBlock(width, width) for _ in range(8)]
            self.add_module(f'layer{i}', nn.Sequential(*blocks))
        self.linear = nn.Linear(64, 10)

    def features(self, x: Tensor) -> Tensor:
        """(N, 3, 32, 32), ImageNet's mean and deviation, to (N, 64)."""
        x = F.relu(self.bn1(self.conv1(x)))
        return self.layer3(self.layer2(self.layer1(x))).mean((2, 3))


def resnet_features(path: Path) -> Features:
    """Pooled features of the trained classifier; smaller images are upsampled."""
    state = torch.load(path, map_location='cpu', weights_only=True)['state_dict']
    network = ResNet56()
    network.load_state_dict({k.removeprefix('module.'): v for k, v in state.items()})
    network.eval()
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)

    @torch.no_grad()
    def features(images: Tensor) -> Tensor:
        pooled = []
        for part in images.split(250):
            x = F.interpolate(part.float() / 255, (32, 32), mode='bicubic')
            pooled.append(network.features((x - mean) / std))
        return torch.cat(pooled).double()

    return features


def pixel_features(images: Tensor) -> Tensor:
    """Features without weights: mean colours of 8x8 fields, in [-1, 1]."""
    x = F.adaptive_avg_pool2d(images.double() / 127.5 - 1, 8)
    return x.flatten(1)
