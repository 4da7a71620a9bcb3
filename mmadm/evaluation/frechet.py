"""Frechet distance: moments of features and the distance between two sets of them."""

from dataclasses import dataclass

import torch
from mmengine.dist import all_reduce
from torch import Tensor

from .sample_fields import check_finite


@dataclass(frozen=True)
class FeatureStatistics:
    """Mean and covariance of the features of a set of images.

    Args:
        mean: (D,), float64.
        cov: unbiased covariance, (D, D), float64.
        count: number of images.

    Raises:
        ValueError: the numbers are no mean and covariance of at least two images.
    """

    mean: Tensor
    cov: Tensor
    count: int

    def __post_init__(self) -> None:
        if self.count < 2:
            raise ValueError(
                f'A covariance needs at least two images, but there are {self.count}. '
                'Use more samples.'
            )
        if self.mean.ndim != 1 or self.cov.shape != 2 * self.mean.shape:
            raise ValueError(
                'A mean of shape (D,) and a covariance of shape (D, D) belong '
                f'together, but the shapes are {tuple(self.mean.shape)} and '
                f'{tuple(self.cov.shape)}. Compute the statistics again.'
            )
        check_finite(self.mean, 'mean of features')
        check_finite(self.cov, 'covariance of features')
        asymmetry = (self.cov - self.cov.T).abs().max()
        if asymmetry > 1e-6 * self.cov.abs().max() or self.cov.diagonal().min() < 0:
            raise ValueError(
                'A covariance is symmetric and has no negative variance, but this '
                f'matrix has an asymmetry of {float(asymmetry):.3g} and a smallest '
                f'variance of {float(self.cov.diagonal().min()):.3g}. Compute the '
                'statistics again.'
            )


class StreamingMoments:
    """Sums from which mean and covariance follow; memory is independent of the count.

    Sums of several processes add up to those of all images. The sums are float64, in
    which one pass is as accurate as two (relative error 5e-15).

    Args:
        dim: number of features D.
    """

    def __init__(self, dim: int) -> None:
        self.count = 0
        self.total = torch.zeros(dim, dtype=torch.float64)
        self.outer = torch.zeros(dim, dim, dtype=torch.float64)

    def add(self, features: Tensor) -> None:
        """Add ``features``, (N, D).

        Raises:
            ValueError: a feature is NaN or infinite.
        """
        check_finite(features, f'features of images {self.count} and following')
        features = features.double()
        self.count += len(features)
        self.total = self.total.to(features.device) + features.sum(0)
        self.outer = self.outer.to(features.device) + features.T @ features

    def reduce(self) -> None:
        """Add the sums of all processes, in place; every process gets the result."""
        count = torch.tensor([self.count], device=self.total.device)
        for sums in (count, self.total, self.outer):
            all_reduce(sums)
        self.count = int(count)

    def statistics(self) -> FeatureStatistics:
        """Mean and unbiased covariance, on the CPU.

        Raises:
            ValueError: there are fewer than two images.
        """
        mean = self.total / max(self.count, 1)
        cov = self.outer - self.count * torch.outer(mean, mean)
        cov = cov.cpu() / max(self.count - 1, 1)
        # Rounding may leave the variance of a constant feature just below zero.
        cov.diagonal().clamp_(min=0)
        return FeatureStatistics(mean.cpu(), cov, self.count)


def frechet_distance(a: FeatureStatistics, b: FeatureStatistics) -> float:
    """Frechet distance of two normal distributions (Heusel et al., 2017).

        |mu_a - mu_b|^2 + tr S_a + tr S_b - 2 tr (S_a S_b)^(1/2)

    With S_a = A A^T the last trace is that of (A^T S_b A)^(1/2), a symmetric matrix:
    no square root of a product of matrices is needed, nothing is added to a diagonal.

    Raises:
        ValueError: the two sets have different numbers of features.
    """
    if a.mean.shape != b.mean.shape:
        raise ValueError(
            f'Both sets need the same features, but they have {len(a.mean)} and '
            f'{len(b.mean)}. Extract them with one network.'
        )
    if a.count > b.count:
        a, b = b, a
    root = _root(a)
    overlap = _roots(torch.linalg.eigvalsh(root.T @ b.cov @ root)).sum()

    shift = (a.mean - b.mean).square().sum()
    distance = shift + a.cov.trace() + b.cov.trace() - 2 * overlap
    check_finite(distance, 'Frechet distance')
    # For equal sets rounding leaves a small number above or below zero.
    return max(0.0, float(distance))


def _root(s: FeatureStatistics) -> Tensor:
    """A of S = A A^T, (D, rank).

    A covariance of n images has at most n - 1 non-zero eigenvalues. The others are
    rounding errors and are left out: eigenvectors are computed in the range of S, which
    is that of S times a random matrix.
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
    return basis @ (vectors * _roots(values))


def _roots(eigenvalues: Tensor) -> Tensor:
    """Square roots of the eigenvalues of a covariance, rising; 0 where it rounded.

    Raises:
        ValueError: an eigenvalue is negative beyond rounding.
    """
    low, high = float(eigenvalues[0]), float(eigenvalues[-1])
    if low < -1e-4 * abs(high):
        raise ValueError(
            'A covariance has no negative eigenvalues, but these reach from '
            f'{low:.3g} to {high:.3g}. Compute the statistics again.'
        )
    return eigenvalues.clamp(min=0).sqrt()
