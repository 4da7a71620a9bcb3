"""Where the log goes besides files."""

from types import SimpleNamespace

import numpy as np
from PIL import Image

from mmadm.visualization import MLflowBackend


class Recorder(MLflowBackend):
    """Writes pictures as MLflow does: Pillow must find the format in the name."""

    def __init__(self, folder) -> None:
        def log_image(image: np.ndarray, name: str) -> None:
            Image.fromarray(image).save(folder / name)

        self._env_initialized = True
        self._mlflow = SimpleNamespace(log_image=log_image, MlflowException=OSError)


def test_each_iteration_has_an_image_of_its_own(tmp_path):
    backend = Recorder(tmp_path)
    for step in (2, 4):
        backend.add_image('samples', np.full((4, 5, 3), step, np.uint8), step=step)
    found = {path.name: np.asarray(Image.open(path)) for path in tmp_path.iterdir()}
    assert found.keys() == {'samples_2.png', 'samples_4.png'}
    assert (found['samples_4.png'] == 4).all()
