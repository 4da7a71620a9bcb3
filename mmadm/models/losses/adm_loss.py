"""The training objective of ADM, Eq. (10)."""

from collections.abc import Callable, Iterable

from torch import Tensor, nn

from mmadm.registry import MODELS

#: Elementwise distances of Eq. (10) and Table V.
DISTANCES: dict[str, Callable[[Tensor], Tensor]] = {
    'l2': lambda error: error**2,
    'l1': lambda error: error.abs(),
    'l1_l2': lambda error: (error.abs() + error**2) / 2,
}


#: Weight of the reconstruction at time t, in the authors' three versions.
RECONSTRUCTION: dict[str, Callable[[Tensor], Tensor]] = {
    'log': lambda t: -t.log() / 2,
    'linear': lambda t: 1 - t,
    'square': lambda t: (1 - t) ** 2,
}


@MODELS.register_module()
class ADMLoss(nn.Module):
    """Weighted distances of both outputs, Eq. (10).

    ``lambda_1 |phi_theta - phi|^2 + lambda_2 |eps_theta - eps|^2``

    Args:
        distance: 'l2' (the paper), 'l1', or 'l1_l2', the mean of both, which the
            authors use for latents.
        reduction: over the pixels of an image. With 'mean' a clip of the gradient's
            norm at 1 is a safeguard; with 'sum', as in the authors' code, it rescales
            every step.
    """

    def __init__(self, distance: str = 'l2', reduction: str = 'mean') -> None:
        super().__init__()
        self.distance = _checked_choice('distance', distance, DISTANCES)
        self.reduction = _checked_choice('reduction', reduction, ('mean', 'sum'))

    def forward(self, pred: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """One term of Eq. (10).

        Args:
            pred: predicted phi or eps, (N, C, H, W).
            target: the true phi or eps, shaped alike.
            weight: (N,), or (N, P) with one weight for each parameter of phi.

        Returns:
            weighted distance of each image, (N,), float32.
        """
        distance = DISTANCES[self.distance](pred.float() - target.float())
        groups = weight.shape[1] if weight.dim() == 2 else 1
        distance = distance.reshape(len(distance), groups, -1)
        weighted = weight.to(distance).view(-1, groups, 1) * distance
        return getattr(weighted.flatten(1), self.reduction)(dim=1)

    def extra(
        self, reconstruct: Callable[[], Tensor], x0: Tensor, t: Tensor
    ) -> dict[str, Tensor]:
        """Extra terms, by name; the paper has none.

        Args:
            reconstruct: computes the image that both outputs together predict.
            x0: the true image (N, C, H, W).
            t: times (N,).
        """
        return {}


@MODELS.register_module()
class AuthorsLoss(ADMLoss):
    """Eq. (10) and the extra term of the authors' code, ``w(t) |x0_theta - x0|``.

    By mistake, their code multiplies all errors with all times of a batch; here each
    image has the weight of its own time, as intended.

    Args:
        distance: see :class:`ADMLoss`.
        reduction: see :class:`ADMLoss`; for the extra term too.
        reconstruction: w(t): 'log' is ``-log(t) / 2`` (their present code), 'linear'
            ``1 - t`` and 'square' ``(1 - t)^2`` (their older latents, and pixels or
            edges).
    """

    def __init__(
        self,
        distance: str = 'l1_l2',
        reduction: str = 'sum',
        reconstruction: str = 'log',
    ) -> None:
        super().__init__(distance, reduction)
        self.reconstruction = _checked_choice(
            'reconstruction', reconstruction, RECONSTRUCTION
        )

    def extra(
        self, reconstruct: Callable[[], Tensor], x0: Tensor, t: Tensor
    ) -> dict[str, Tensor]:
        """``loss_reconstruction``, one number."""
        error = (reconstruct().float() - x0.float()).abs().flatten(1)
        weight = RECONSTRUCTION[self.reconstruction](t.to(error))
        term = weight * getattr(error, self.reduction)(dim=1)
        return dict(loss_reconstruction=term.mean())


def _checked_choice(name: str, value: str, choices: Iterable[str]) -> str:
    if value not in choices:
        raise ValueError(f'Unknown {name}={value!r}. Use one of {sorted(choices)}.')
    return value
