"""Backends of the visualizer besides files."""

import numpy as np
from mmengine.registry import VISBACKENDS
from mmengine.visualization import MLflowVisBackend


@VISBACKENDS.register_module()
class MLflowBackend(MLflowVisBackend):
    """MMEngine's ``MLflowVisBackend`` with support for images.

    MMEngine passes a name without a suffix, so MLflow does not know the format and the
    run ends; it also uses one name for all iterations.
    """

    def add_image(self, name: str, image: np.ndarray, step: int = 0, **kwargs) -> None:
        """Record an image, (H, W, 3), uint8, RGB, as ``<name>_<step>.png``."""
        super().add_image(f'{name}_{step}.png', image, step, **kwargs)
