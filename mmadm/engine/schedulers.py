"""Learning-rate schedule of the paper."""

from mmengine.optim import PolyLR

from mmadm.registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class ClampedPolyLR(PolyLR):
    """``max(lr0 (1 - i/N)^p, lr_min)`` (Sec. V-A).

    MMEngine's ``PolyLR`` adds ``lr_min`` instead of clamping at it, which gives almost
    twice the learning rate at 90 % of the run. Here i is the number of iterations since
    ``begin``, and N = ``end - begin``.

    Args:
        optimizer: optimizer or its wrapper.
        eta_min: lr_min.
        power: p.
        warmup_iters: number of iterations in which the learning rate first grows
            linearly to lr0; i and N count from their end on (5,000 in the authors'
            unconditional runs).
        by_epoch: count epochs instead of iterations.
        kwargs: ``begin``, ``end`` and so on, as in MMEngine's ``PolyLR``.
    """

    def __init__(
        self,
        optimizer,
        *args,
        eta_min: float = 0.0,
        power: float = 0.96,
        warmup_iters: int = 0,
        by_epoch: bool = False,
        **kwargs,
    ) -> None:
        self.warmup_iters = warmup_iters
        super().__init__(
            optimizer,
            *args,
            eta_min=eta_min,
            power=power,
            by_epoch=by_epoch,
            **kwargs,
        )

    def _get_value(self) -> list[float]:
        # The parent's total_iters is one less than the iterations it spans.
        total = self.total_iters + 1 - self.warmup_iters
        i = self.last_step - self.warmup_iters
        if i < 0:
            return [
                lr * (self.last_step + 1) / self.warmup_iters for lr in self.base_values
            ]
        factor = max(1 - i / total, 0) ** self.power
        return [max(lr * factor, self.eta_min) for lr in self.base_values]
