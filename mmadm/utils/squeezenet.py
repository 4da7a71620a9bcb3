"""SqueezeNet 1.1: weights of torchvision or of Caffe, and pooled features of images."""

import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mmadm.checkpoints import read_weights

#: Number of each Caffe fire module and of torchvision's ``features``.
_FIRE = {2: 3, 3: 4, 4: 6, 5: 7, 6: 9, 7: 10, 8: 11, 9: 12}
_LAYERS = {'squeeze1x1': 'squeeze', 'expand1x1': 'expand1x1', 'expand3x3': 'expand3x3'}
_CAFFE_MEAN = np.array([123.0, 117.0, 104.0])  # RGB, of values in 0..255
_MEAN, _STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def is_caffe(path: str | Path | None) -> bool:
    """Whether the file is named as one of Caffe's weights (``.npz``)."""
    return str(path).endswith('.npz')


def read_squeezenet(path: str | Path) -> dict[str, Tensor]:
    """Convolutions of SqueezeNet 1.1 by torchvision names (``features.0.weight``).

    Args:
        path: torchvision's file, or a ``.npz`` of the original release's Caffe weights
            (``conv1.weight``, ``fire2/squeeze1x1.weight``, ...; input BGR in 0..255
            less the mean). The first layer of the latter is changed so that it takes
            torchvision's input.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is broken or another network's.
    """
    if not is_caffe(path):
        return read_weights(path)
    if not Path(path).is_file():
        raise FileNotFoundError(
            f'SqueezeNet weights not found: {path}. Check the path.'
        )
    try:
        with np.load(path, allow_pickle=False) as file:
            return _from_caffe({key: file[key].astype(np.float64) for key in file})
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"Not SqueezeNet 1.1's Caffe weights: {path} ({error}). Give a .npz with "
            'conv1.weight, fire2/squeeze1x1.weight and so on.'
        ) from error


def _from_caffe(file: dict[str, np.ndarray]) -> dict[str, Tensor]:
    # BGR less Caffe's mean is 255 (x std + mean) less it, for torchvision's x.
    first = file['conv1.weight'][:, ::-1]
    shift = (first.sum(axis=(2, 3)) * (255 * _MEAN - _CAFFE_MEAN)).sum(axis=1)
    weights = {
        'features.0.weight': first * (255 * _STD)[:, None, None],
        'features.0.bias': file['conv1.bias'] + shift,
    }
    for caffe, ours in _FIRE.items():
        for layer, name in _LAYERS.items():
            for kind in ('weight', 'bias'):
                key = f'features.{ours}.{name}.{kind}'
                weights[key] = file[f'fire{caffe}/{layer}.{kind}']
    return {
        key: torch.tensor(np.ascontiguousarray(value), dtype=torch.float32)
        for key, value in weights.items()
    }
