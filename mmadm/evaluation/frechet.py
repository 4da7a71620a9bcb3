"""Mean and covariance of features, gathered on the way, and their distance."""

from dataclasses import dataclass

import torch
from mmengine.dist import all_reduce
from torch import Tensor


@dataclass(frozen=True)
class FeatureStatistics:
    """What the Frechet distance knows of a set of images.

    Args:
        mean: (D,), float64.
        cov: unbiased covariance, (D, D), float64.
        count: number of images.
    """

    mean: Tensor
    cov: Tensor
    count: int


class StreamingMoments:
    """Sums from which mean and covariance follow: memory does not grow with images.

    Sums of several processes add up to those of all images. In float64, where one pass
    is as good as two: relative error 5e-15.

    Args:
        dim: number of features D.
    """

    def __init__(self, dim: int) -> None:
        self.count = 0
        self.total = torch.zeros(dim, dtype=torch.float64)
        self.outer = torch.zeros(dim, dim, dtype=torch.float64)

    def add(self, features: Tensor) -> None:
        """Count ``features``, (N, D), in."""
        features = features.double()
        self.count += len(features)
        self.total = self.total.to(features.device) + features.sum(0)
        self.outer = self.outer.to(features.device) + features.T @ features

    def reduce(self) -> None:
        """Add the sums of all processes, in place; each then has them all."""
        count = torch.tensor([self.count], device=self.total.device)
        for sums in (count, self.total, self.outer):
            all_reduce(sums)
        self.count = int(count)

    def statistics(self) -> FeatureStatistics:
        """Mean and unbiased covariance, on the CPU.

        Raises:
            ValueError: fewer than two images have no covariance.
        """
        if self.count < 2:
            raise ValueError(
                f'A covariance needs at least two images, but there are {self.count}. '
                'Score more samples.'
            )
        mean = self.total / self.count
        cov = self.outer - self.count * torch.outer(mean, mean)
        return FeatureStatistics(mean.cpu(), cov.cpu() / (self.count - 1), self.count)


def frechet_distance(a: FeatureStatistics, b: FeatureStatistics) -> float:
    """Frechet distance of two normal distributions, Heusel et al. 2017:

        |mu_a - mu_b|^2 + tr S_a + tr S_b - 2 tr (S_a S_b)^(1/2)

    With S_a = A A^T the last trace is that of (A^T S_b A)^(1/2), a symmetric matrix:
    no square root of a product of matrices is needed, nothing is added to a diagonal.
    """
    if a.count > b.count:
        a, b = b, a
    root = _root(a)
    overlap = torch.linalg.eigvalsh(root.T @ b.cov @ root).clamp(min=0).sqrt().sum()

    shift = (a.mean - b.mean).square().sum()
    # Of equal sets rounding leaves a little above or below zero.
    return max(0.0, float(shift + a.cov.trace() + b.cov.trace() - 2 * overlap))


def _root(s: FeatureStatistics) -> Tensor:
    """A of S = A A^T, (D, rank).

    A covariance of n images has at most n - 1 eigenvalues that are not zero. The
    others, rounding errors, stay out: the eigenvectors are sought in the range of S,
    which is that of S times a random matrix.
    """
    dim = len(s.mean)
    random = torch.randn(
        dim,
        min(dim, s.count - 1),
        dtype=torch.float64,
        generator=torch.Generator().manual_seed(0),
    )
    basis = torch.linalg.qr(s.cov @ random).Q
    values, vectors = torch.linalg.eigh(basis.T @ s.cov @ basis)
    return basis @ (vectors * values.clamp(min=0).sqrt())
