"""The training objective of ADM, Eq. (10)."""

from collections.abc import Callable

from torch import Tensor, nn

from mmadm.registry import MODELS

#: Elementwise distances of Eq. (10) and Table V.
DISTANCES: dict[str, Callable[[Tensor], Tensor]] = {
    'l2': lambda error: error**2,
    'l1': lambda error: error.abs(),
    'l1_l2': lambda error: (error.abs() + error**2) / 2,
}


@MODELS.register_module()
class ADMLoss(nn.Module):
    """``lambda_1 |phi_theta - phi|^2 + lambda_2 |eps_theta - eps|^2``, Eq. (10).

    Means, not sums, over pixels: only then is a clip of the gradient's norm at 1 a
    safeguard instead of a rescaling of every step.

    Args:
        distance: 'l2' (the paper), 'l1', or 'l1_l2', the mean of both, which the
            authors use for latents.
    """

    def __init__(self, distance: str = 'l2') -> None:
        super().__init__()
        if distance not in DISTANCES:
            raise ValueError(
                f'Unknown distance={distance!r}. Use one of {sorted(DISTANCES)}.'
            )
        self.distance = distance

    def forward(self, pred: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """One term per image.

        Args:
            pred: predicted phi or eps, (N, C, H, W).
            target: the truth, shaped alike.
            weight: (N,), or (N, P) with one weight for each parameter of phi.

        Returns:
            weighted mean distance of each image, (N,), float32.
        """
        distance = DISTANCES[self.distance](pred.float() - target.float())
        groups = weight.shape[1] if weight.dim() == 2 else 1
        distance = distance.reshape(len(distance), groups, -1).mean(2)
        return (weight.to(distance).view(-1, groups) * distance).mean(1)
