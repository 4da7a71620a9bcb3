"""Results of the inferencer: as arrays, as PIL images, or as files that are resumed."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image, PngImagePlugin
from torch import Tensor
from torch.utils.data import Dataset

from mmadm.checkpoints import file_sha256
from mmadm.structures import DiffusionSample
from mmadm.utils import enlarge
from mmadm.utils.files import atomic_write
from mmadm.utils.images import read_text
from mmadm.visualization.images import heat_map

#: 'np': arrays; 'pil': PIL images; 'file': paths of the written files.
OutputType = Literal['np', 'pil', 'file']
OUTPUT_TYPES = ('np', 'pil', 'file')

#: Results -> folders. The prediction is last: where it exists, the others do.
_FOLDERS = dict(
    visualization='vis',
    trajectory='trajectory',
    samples='samples',
    std='std',
    lower='lower',
    upper='upper',
    prediction='pred',
)
# Name of the text in PNG files that has the settings.
_TEXT = 'mmadm'


def result_keys(num_samples: int, trajectory: bool, intervals: bool) -> list[str]:
    """The results of an image, in the order in which they are written."""
    left_out = set() if trajectory else {'trajectory'}
    left_out |= set() if num_samples > 1 else {'samples', 'std'}
    left_out |= set() if intervals else {'lower', 'upper'}
    return [key for key in _FOLDERS if key not in left_out]


def check_output(
    output_type: str, out_dir: str | Path | None, return_datasamples: bool
) -> None:
    """Refuse a form of the results that does not exist, or contradicts another."""
    if output_type not in OUTPUT_TYPES:
        raise ValueError(
            f'Unknown output_type={output_type!r}. Use one of {OUTPUT_TYPES}.'
        )
    if output_type == 'file' and out_dir is None:
        raise ValueError(
            "Results are to be files, but output_type='file' came without a folder. "
            'Give out_dir.'
        )
    if output_type != 'np' and return_datasamples:
        raise ValueError(
            'Samples hold tensors, but return_datasamples=True came with output_type='
            f'{output_type!r}. Give one of the two.'
        )


def file_stem(index: int, name: str | None) -> str:
    """The name of an input without suffix; its number where it has none."""
    return f'{index:06d}' if name is None else name


def to_array(sample: DiffusionSample, image: Tensor) -> np.ndarray:
    """An image of a sample at the size of the ground truth.

    Args:
        sample: has ``ori_shape`` if this differs from the size of the image.
        image: (C, H, W).

    Returns:
        (H, W, 3), or (H, W) for maps.
    """
    image = enlarge(image.cpu(), sample.get('ori_shape', image.shape[-2:]))
    array = image.numpy().transpose(1, 2, 0)
    return np.ascontiguousarray(array[..., 0] if array.shape[2] == 1 else array)


def to_arrays(sample: DiffusionSample) -> dict[str, np.ndarray]:
    """Prediction, and where there are any trajectory, samples and their deviation."""
    result = dict(prediction=to_array(sample, sample.pred_img))
    if 'trajectory' in sample:
        result['trajectory'] = sample.trajectory
    if 'pred_std' in sample:
        draws = [to_array(sample, image) for image in sample.pred_samples]
        std = to_array(sample, sample.pred_std)
        result.update(samples=np.stack(draws), std=std)
    return result


def to_pil(result: dict[str, np.ndarray]) -> dict[str, Any]:
    """PIL images instead of arrays; a list of them for samples, heat maps for std."""
    return {
        key: [Image.fromarray(x) for x in value]
        if key == 'samples'
        else Image.fromarray(_drawn(key, value))
        for key, value in result.items()
    }


def _drawn(key: str, value: np.ndarray) -> np.ndarray:
    return heat_map(value) if key == 'std' else value


class OutputFolder:
    """A folder of PNG files, each with the settings that it was made with.

    Args:
        folder: for ``pred/``, ``vis/``, ...
        settings: all that decides the results besides the inputs, as JSON data.
        dataset: of the inputs.
    """

    def __init__(self, folder: str | Path, settings: dict, dataset: Dataset) -> None:
        self.folder = Path(folder)
        self.settings = settings
        self.dataset = dataset

    def finished(
        self, index: int, name: str, keys: Iterable[str], num_samples: int
    ) -> dict[str, Any] | None:
        """The paths of an image's results, if all exist and have these settings."""
        paths = {key: self._paths(key, name, num_samples) for key in keys}
        text = self._text(index)
        if not all(
            read_text(path, _TEXT) == text for key in paths for path in paths[key]
        ):
            return None
        return _unpacked(paths)

    def all_finished(
        self, keys: Iterable[str], num_samples: int
    ) -> dict[int, dict[str, Any]]:
        """What :meth:`finished` finds, with the names, by the number of the input."""
        finished = {}
        for i in range(len(self.dataset)):
            name = file_stem(i, self.dataset.get_data_info(i).get('name'))
            paths = self.finished(i, name, keys, num_samples)
            if paths is not None:
                finished[i] = dict(paths, name=name)
        return finished

    def write(
        self, index: int, name: str, result: dict[str, np.ndarray]
    ) -> dict[str, Any]:
        """Write the results of an image; their paths, a list of them for samples.

        Those of other settings are removed: they would be taken for results of this
        prediction.
        """
        text = PngImagePlugin.PngInfo()
        text.add_text(_TEXT, self._text(index))
        images = {
            key: list(result[key]) if key == 'samples' else [_drawn(key, result[key])]
            for key in _FOLDERS
            if key in result
        }
        paths = {key: self._paths(key, name, len(x)) for key, x in images.items()}
        # Before the prediction, with which an image counts as finished.
        self._remove_others(index, name, set().union(*paths.values()))
        for key in paths:
            for path, image in zip(paths[key], images[key]):
                with atomic_write(path) as part:
                    Image.fromarray(image).save(part, pnginfo=text)
        return _unpacked(paths)

    def _remove_others(self, index: int, name: str, replaced: set[Path]) -> None:
        files = {self.folder / part / f'{name}.png' for part in _FOLDERS.values()}
        files.update((self.folder / _FOLDERS['samples'] / name).glob('*.png'))
        for path in files - replaced:
            if read_text(path, _TEXT) not in (None, self._text(index)):
                path.unlink()

    def _paths(self, key: str, name: str, count: int) -> list[Path]:
        folder = self.folder / _FOLDERS[key]
        if key == 'samples':
            return [folder / name / f'{i:03d}.png' for i in range(count)]
        return [folder / f'{name}.png']

    def _text(self, index: int) -> str:
        """Settings, number and content of an input; the number decides its noise."""
        settings = dict(self.settings, index=index)
        if hasattr(self.dataset, 'get_data_info'):
            settings['inputs'] = _digest(self.dataset.get_data_info(index))
        return json.dumps(settings, sort_keys=True)


def _unpacked(paths: dict[str, list[Path]]) -> dict[str, Any]:
    return {key: x if key == 'samples' else x[0] for key, x in paths.items()}


def _digest(entry: dict) -> dict[str, str]:
    """SHA-256 of the image, and of the mask, of an entry of the dataset."""
    digests = {}
    for key, value in entry.items():
        if key.endswith('_path'):
            digests[key] = file_sha256(value)
        elif isinstance(value, np.ndarray):
            digests[key] = hashlib.sha256(np.ascontiguousarray(value)).hexdigest()
    return digests


def fingerprint(model, *configs: Any) -> str:
    """SHA-256 of the weights and the configs of a model."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        # As bytes, since NumPy has no bfloat16.
        digest.update(value.detach().cpu().flatten().view(torch.uint8).numpy())
    text = json.dumps(configs, sort_keys=True, default=_name_of)
    digest.update(text.encode())
    return digest.hexdigest()


def _name_of(value: Any) -> Any:
    if hasattr(value, 'tolist'):
        return value.tolist()
    return getattr(value, '__qualname__', type(value).__qualname__)
