"""A model that is guided by a weaker snapshot of itself."""

from pathlib import Path
from typing import Any

from torch import Tensor

from mmadm.checkpoints.weights import load_weights
from mmadm.diffusion import guide
from mmadm.diffusion.samplers import Denoiser
from mmadm.registry import MODELS

from .adm import ADM


@MODELS.register_module()
class GuidedADM(ADM):
    """ADM with autoguidance: samples move away from the errors of a weak snapshot.

    Its weights, checkpoints and training are those of :class:`ADM`; sampling evaluates
    two networks per step. See :func:`mmadm.diffusion.guide`.

    Args:
        weak: checkpoint of an earlier iteration or a shorter average of the same
            config.
        scale: 1 is the model alone; 1.5 to 3 in use.
        kwargs: those of :class:`ADM`.

    Raises:
        FileNotFoundError: there is no such checkpoint.
        ValueError: it does not fit the config; or the scale is below 1.
    """

    def __init__(self, weak: str | Path, scale: float = 2.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        weak_model = ADM(**kwargs).eval().requires_grad_(False)
        load_weights(weak_model, weak)
        # In a tuple it is no submodule, and not part of checkpoints.
        self._weak = (weak_model,)
        self._scale = scale
        guide(self.denoise, self.denoise, scale)  # checks the scale

    def denoiser(self, condition: Tensor | None) -> Denoiser:
        """(x_t, t) -> (phi, eps), guided, for one condition."""
        (weak,) = self._weak
        strong = super().denoiser(condition)
        return guide(strong, weak.denoiser(condition), self._scale)

    def _apply(self, fn, recurse: bool = True) -> 'GuidedADM':
        """Moves and converts the weak network as well."""
        self._weak[0]._apply(fn, recurse)
        return super()._apply(fn, recurse)
