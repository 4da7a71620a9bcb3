"""Where the log goes besides files."""

import numpy as np
from mmengine.registry import VISBACKENDS
from mmengine.visualization import MLflowVisBackend


@VISBACKENDS.register_module()
class MLflowBackend(MLflowVisBackend):
    """MMEngine's ``MLflowVisBackend`` that takes pictures.

    Its own gives MLflow a name without the suffix that would tell the format, on which
    the run ends, and one name for all iterations.
    """

    def add_image(self, name: str, image: np.ndarray, step: int = 0, **kwargs) -> None:
        """Record a picture, (H, W, 3), uint8, RGB, as ``<name>_<step>.png``."""
        super().add_image(f'{name}_{step}.png', image, step, **kwargs)
