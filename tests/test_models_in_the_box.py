"""The trained models that are part of the package, by name."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import lbp_frontal_face_cascade_filename
from skimage.feature import Cascade
from skimage.metrics import peak_signal_noise_ratio

from mmadm import cli
from mmadm.apis import ADMInferencer
from mmadm.checkpoints import load_published, model_zoo
from mmadm.utils import matlab_resize

DATA = Path(__file__).parent / 'data'
BOX = {name: entry for name, entry in model_zoo().items() if entry.weights}


def photograph(name: str) -> np.ndarray:
    """The middle of a photograph of scikit-image, 128 x 128 pixels."""
    from skimage import data

    image = getattr(data, name)()
    top, left = ((side - 128) // 2 for side in image.shape[:2])
    return image[top : top + 128, left : left + 128]


def box() -> np.ndarray:
    """A hole of 40 x 56 pixels, true inside."""
    mask = np.zeros((128, 128), bool)
    mask[40:80, 30:86] = True
    return mask


def test_python_and_the_command_line_list_them():
    assert ADMInferencer.list_models() == list(BOX)
    assert ADMInferencer.list_models('*edge*') == ['adm_edge_small']
    assert cli.models() == sorted(BOX)


@pytest.mark.parametrize('name', BOX)
def test_a_file_is_small_and_describes_itself(name):
    path = BOX[name].path()
    assert path.stat().st_size <= 8 * 2**20
    config, weights, info = load_published(path)
    assert weights and config.model.type
    facts = ('data', 'terms', 'command', 'seed', 'hours', 'scores', 'data_hash')
    assert [key for key in facts if key not in info] == []


def test_all_files_together_are_small():
    assert sum(e.path().stat().st_size for e in BOX.values()) <= 32 * 2**20


@pytest.mark.parametrize('name', BOX)
def test_a_model_reproduces_its_stored_prediction(name):
    """Made with default settings; rounding differs by machine."""
    inputs = {} if name == 'adm_faces_small' else dict(inputs=photograph('coffee'))
    if name == 'adm_sr_small':
        inputs.update(inputs=matlab_resize(photograph('coffee'), (32, 32)))
    if name == 'adm_inpaint_small':
        inputs.update(masks=box())
    (output,) = ADMInferencer(name, show_progress=False)(**inputs)['predictions']
    stored = np.array(Image.open(DATA / f'{name}.png'))
    assert output.shape == stored.shape
    assert np.abs(output.astype(float) - stored).mean() < 0.1


@pytest.mark.parametrize('photo', ['coffee', 'chelsea'])
def test_super_resolution_beats_bicubic_interpolation(photo):
    image = photograph(photo)
    small = matlab_resize(image, (32, 32))
    model = ADMInferencer('adm_sr_small', show_progress=False)
    for steps in (1, 5):
        (output,) = model(small, num_steps=steps)['predictions']
        bicubic = matlab_resize(small, (128, 128))
        gain = peak_signal_noise_ratio(image, output)
        gain -= peak_signal_noise_ratio(image, bicubic)
        assert gain > 0.5


def test_edges_lie_on_a_drawn_boundary():
    image = np.full((96, 128, 3), 40, np.uint8)
    image[:, 64:] = 200
    model = ADMInferencer('adm_edge_small', show_progress=False)
    (edges,) = model(image)['predictions']
    columns = edges[8:-8].mean(axis=0)
    assert 61 <= columns.argmax() <= 66
    assert columns[:56].max() < columns.max() / 4
    # Nor along the border, where the image ends.
    assert edges[:, -3:].mean() < columns.max() / 4


def test_a_salient_object_is_brighter_than_its_surroundings():
    image = np.full((160, 160, 3), (90, 130, 90), np.uint8)
    image[50:110, 60:120] = (220, 60, 40)
    model = ADMInferencer('adm_saliency_small', show_progress=False)
    (saliency,) = model(image)['predictions']
    background = np.delete(saliency, np.s_[40:120], axis=0)
    assert saliency[60:100, 70:110].mean() > background.mean() + 100


def test_a_detector_finds_faces_in_samples_of_five_steps():
    detector = Cascade(lbp_frontal_face_cascade_filename())
    model = ADMInferencer('adm_faces_small', show_progress=False)
    samples = model(num_samples=8, batch_size=8, num_steps=5)['predictions']

    def faces(image: np.ndarray) -> int:
        large = np.array(Image.fromarray(image).resize((256, 256)))
        large = np.pad(large, ((32, 32), (32, 32), (0, 0)), 'edge')
        found = detector.detect_multi_scale(large, 1.2, 1, (80, 80), (300, 300))
        return len(found)

    assert sum(faces(sample) > 0 for sample in samples) >= 7
    # Not in what has the same values in another order.
    rng = np.random.default_rng(0)
    shuffled = [rng.permuted(sample, axis=0) for sample in samples]
    assert sum(faces(sample) > 0 for sample in shuffled) <= 1
