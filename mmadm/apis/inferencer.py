"""Inference without a data set: images in, images out."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.infer import BaseInferencer
from rich.progress import track
from torch import nn
from torch.utils.data import DataLoader

from mmadm.checkpoints import put_weights, safe_loaders
from mmadm.diffusion.presets import sampler_preset
from mmadm.registry import DATASETS, MODELS, SAMPLERS
from mmadm.structures import DiffusionSample
from mmadm.utils import check_device, enlarge
from mmadm.utils.images import read_size
from mmadm.visualization import DiffusionVisualizer, columns
from mmadm.visualization.images import captioned, row
from mmadm.visualization.visualizer import save

from .launch import load_model
from .step_sweep import check_steps
from .trajectory import sample_trajectory

#: Default of ``max_pixels``: 4096 x 4096 pixels need about 1 GB.
MAX_PIXELS = 4096 * 4096
# Results -> folders in ``out_dir``.
_FOLDERS = dict(
    predictions='pred', visualization='vis', trajectory='trajectory', std='std'
)


class SamplingStoppedError(RuntimeError):
    """Raised between two sampling steps, because the caller wants no result."""


class ADMInferencer(BaseInferencer):
    """Runs a trained model on images, or generates images with an unconditional one.

    Images are RGB, as everywhere in mmadm. They pass the test pipeline of the config,
    and image i gets the noise of sample i of ``tools/test.py``: the predictions are the
    same.

    Args:
        model: name of a shipped model, such as ``'adm_sr_small'``; a file that
            ``tools/misc/publish_model.py`` wrote; a config file; or a config.
        weights: a checkpoint, for a config, or to replace the weights of the model.
        device: 'cpu', 'cuda:1', ...; None uses a GPU if there is one.
        show_progress: show a progress bar.
        window: side of overlapping windows in which large images are sampled, in pixels
            of the prediction; None samples as the test of the config does.

    Raises:
        FileNotFoundError: the config or the checkpoint does not exist.
        ValueError: the name is unknown, the device does not exist, or the weights are
            missing or belong to another config.
    """

    preprocess_kwargs = {'masks', 'num_samples', 'max_pixels'}
    forward_kwargs = {'num_steps', 'seed', 'sampler', 'trajectory', 'should_stop'}
    visualize_kwargs = {'show', 'wait_time'}
    postprocess_kwargs = {'out_dir'}

    def __init__(
        self,
        model: str | Path | Config | dict,
        weights: str | Path | None = None,
        device: str | None = None,
        show_progress: bool = True,
        window: int | None = None,
    ) -> None:
        if device is not None:
            check_device(device)
        source = load_model(model, weights)
        cfg = source.config
        _check_config(cfg)
        self._checkpoint = source.checkpoint
        if window is not None:
            _check_integer('window', window, 4)
            _use_windows(cfg, window)
        path = source.path and str(source.path)
        super().__init__(cfg, path, device, 'mmadm', show_progress)
        del self._checkpoint

    @property
    def is_conditional(self) -> bool:
        """Whether the model needs input images."""
        return self.pipeline is not None

    def __call__(
        self,
        inputs: Any = None,
        return_datasamples: bool = False,
        batch_size: int = 1,
        **kwargs,
    ) -> dict[str, list]:
        """Run the model. All inputs are checked before the first one is processed.

        Args:
            inputs: a file, a folder (with its subfolders), an array (H, W, 3) or
                (H, W), uint8, RGB; or a list of files and arrays. For super-resolution
                the small image. None for unconditional models.
            return_datasamples: return samples instead of arrays.
            batch_size: how many images of one size are sampled together; it changes
                predictions by rounding only.
            kwargs: ``masks``, the holes for inpainting, in the form of ``inputs``:
                white in files, 1 or 255 in arrays (H, W).
                ``num_samples``: an unconditional model generates so many images (1);
                a prediction of another model is the mean of so many samples.
                ``max_pixels``, the largest image, input or prediction.
                ``num_steps``, ``seed`` and ``sampler``, as for ``tools/test.py``; the
                default is the config's.
                ``trajectory=True`` also draws the sampling trajectories.
                ``should_stop``, a function that is called before each step; sampling
                ends if it returns True.
                ``show=True`` opens a window for each image, which stays open
                ``wait_time`` seconds (0: until a key is pressed).
                ``out_dir``, a folder for PNG files with the names of the inputs, in
                ``pred/``, ``vis/``, ``trajectory/`` and ``std/``, written after each
                batch.

        Returns:
            ``predictions``, arrays (H, W, 3), or (H, W) for maps, uint8, RGB;
            ``visualization``, condition and prediction side by side; on request,
            ``trajectory``; and ``std``, the standard deviation (H, W) of several
            samples in grey levels. In the order of the inputs.

        Raises:
            FileNotFoundError: a file does not exist, or a folder is empty.
            ValueError: an image or mask cannot be read or does not fit the model, or
                an argument has a wrong value.
            SamplingStoppedError: ``should_stop`` returned True.
        """
        before, during, show, after = self._split(kwargs)
        if self.is_conditional:
            during['num_samples'] = before.pop('num_samples', None)
        data = self.preprocess(inputs, batch_size, **before)
        results = defaultdict(list)
        for batch in track(data, 'Inference', disable=not self.show_progress):
            samples = self.forward(batch, **during)
            images = self.visualize(inputs, samples, **show)
            part = self.postprocess(samples, images, return_datasamples, **after)
            for key, values in part.items():
                results[key] += values
        return dict(results)

    def _split(self, kwargs: dict) -> Iterator[dict]:
        """The arguments of preprocess, forward, visualize and postprocess."""
        groups = (
            self.preprocess_kwargs,
            self.forward_kwargs,
            self.visualize_kwargs,
            self.postprocess_kwargs,
        )
        known = set().union(*groups)
        unknown = sorted(kwargs.keys() - known)
        if unknown:
            raise ValueError(
                f'Unknown arguments of the inferencer: {unknown}. Use {sorted(known)}.'
            )
        return ({key: kwargs[key] for key in group & kwargs.keys()} for group in groups)

    def preprocess(
        self,
        inputs: Any,
        batch_size: int = 1,
        masks: Any = None,
        num_samples: int | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> DataLoader:
        """Build the batches for the model; see :meth:`__call__`."""
        _check_integer('batch_size', batch_size, 1)
        if self.is_conditional:
            dataset = self._image_dataset(inputs, masks, max_pixels)
        else:
            dataset = self._seed_dataset(inputs, masks, num_samples)
        return DataLoader(dataset, batch_size, collate_fn=self.collate_fn)

    def _seed_dataset(self, inputs: Any, masks: Any, num_samples: int | None):
        """The test set of an unconditional model, with another length."""
        if inputs is not None or masks is not None:
            raise ValueError(
                'This model is unconditional, but input images are given. Leave them '
                'out and give num_samples.'
            )
        number = 1 if num_samples is None else num_samples
        _check_integer('num_samples', number, 1)
        return DATASETS.build(
            {**self.cfg.test_dataloader.dataset, 'num_samples': number}
        )

    def _image_dataset(self, inputs: Any, masks: Any, max_pixels: int):
        """The input images, each of which can be read and is not too large."""
        if inputs is None:
            raise ValueError(
                'This model needs input images, but no image is given. Give inputs: a '
                'file, a folder, an array (H, W, 3) of uint8, or a list.'
            )
        kind = dict(type='InferenceDataset', images=inputs, masks=masks)
        dataset = DATASETS.build(dict(kind, pipeline=self.pipeline))
        for index in range(len(dataset)):
            entry = dataset.get_data_info(index)
            # The header of a file is read first: decoding may need too much memory.
            for key in ('img_path', 'mask_path'):
                if key in entry:
                    _check_size(entry['name'], read_size(entry[key]), max_pixels)
            target = dataset[index]['data_samples'].target_shape
            _check_size(entry['name'], target, max_pixels)
        return dataset

    @torch.no_grad()
    def forward(
        self,
        inputs: dict,
        num_steps: int | None = None,
        seed: int | None = None,
        sampler: str | None = None,
        trajectory: bool = False,
        should_stop: Callable[[], bool] = lambda: False,
        num_samples: int | None = None,
    ) -> list[DiffusionSample]:
        """Sample a batch; see :meth:`__call__`."""
        options = dict(num_steps=num_steps, seed=seed, num_samples=num_samples)
        with self._options(sampler, **options), self._stopping(should_stop):
            if not trajectory:
                return self.model.test_step(inputs)
            data = self.model.data_preprocessor(inputs)
            samples, condition = data['data_samples'], data['inputs']['condition']
            for i, sample in enumerate(samples):
                own = condition[i : i + 1]
                sample.trajectory = sample_trajectory(self.model, own, sample)
            return samples

    @contextmanager
    def _options(self, sampler: str | None, **options: int | None) -> Iterator[None]:
        """Change the options of sampling for the duration of a block."""
        model = self.model
        usual = model.test_cfg, model.sampler
        options = {key: x for key, x in options.items() if x is not None}
        check_steps([options.get('num_steps', 1)])
        _check_integer('seed', options.get('seed', 0))
        _check_integer('num_samples', options.get('num_samples', 1), 1)
        try:
            model.test_cfg = {**model.test_cfg, **options}
            if sampler is not None:
                preset, _ = sampler_preset(sampler, self.cfg.model.get('sampler'))
                model.sampler = SAMPLERS.build(preset)
            yield
        finally:
            model.test_cfg, model.sampler = usual

    @contextmanager
    def _stopping(self, should_stop: Callable[[], bool]) -> Iterator[None]:
        """Call ``should_stop`` before each network evaluation of a block."""

        def check(*_: Any) -> None:
            if should_stop():
                raise SamplingStoppedError('Sampling was stopped by its caller.')

        hook = self.model.head.register_forward_pre_hook(check)
        try:
            yield
        finally:
            hook.remove()

    def visualize(
        self,
        inputs: Any,
        preds: Sequence[DiffusionSample],
        show: bool = False,
        wait_time: float = 0,
    ) -> list[np.ndarray]:
        """Draw condition and prediction side by side; see :meth:`__call__`."""
        images = []
        for sample in preds:
            shown = columns(sample)
            images.append(row([captioned(x, text) for text, x in shown.items()]))
            if show:
                name = _name(sample)
                self.visualizer.show(images[-1], win_name=name, wait_time=wait_time)
        return images

    def postprocess(
        self,
        preds: Sequence[DiffusionSample],
        visualization: list[np.ndarray],
        return_datasample: bool = False,
        out_dir: str | Path | None = None,
    ) -> dict[str, list]:
        """Collect the results of a batch and write them; see :meth:`__call__`."""
        results = dict(
            predictions=[_to_array(sample) for sample in preds],
            visualization=visualization,
        )
        if 'trajectory' in preds[0]:
            results['trajectory'] = [sample.trajectory for sample in preds]
        if 'pred_std' in preds[0]:
            results['std'] = [_to_array(sample, 'pred_std') for sample in preds]
        if out_dir is not None:
            for key, images in results.items():
                for sample, image in zip(preds, images):
                    save(image, Path(out_dir, _FOLDERS[key], f'{_name(sample)}.png'))
        if return_datasample:
            results['predictions'] = list(preds)
        return results

    def _init_model(
        self, cfg: ConfigDict, weights: str | None, device: str = 'cpu'
    ) -> nn.Module:
        """The model with its weights, all or none."""
        with safe_loaders():
            model = MODELS.build(cfg.model)
        put_weights(model, self._checkpoint, weights)
        return model.to(device).eval()

    def _init_pipeline(self, cfg: ConfigDict) -> list[dict] | None:
        """The test pipeline; None for an unconditional model."""
        return cfg.test_dataloader.dataset.get('pipeline')

    def _init_collate(self, cfg: ConfigDict) -> Callable:
        return pseudo_collate

    def _init_visualizer(self, cfg: ConfigDict) -> DiffusionVisualizer:
        return DiffusionVisualizer()


def _use_windows(cfg: ConfigDict, window: int) -> None:
    """Sample in windows that overlap by a quarter, in place."""
    usual = cfg.model.get('test_cfg') or {}
    kept = {key: usual[key] for key in ('num_steps', 'seed') if key in usual}
    stride = window - window // 4
    cfg.model.test_cfg = dict(kept, mode='slide', crop=window, stride=stride)


def _check_size(name: str, size: Sequence[int], max_pixels: int) -> None:
    """Refuse an image that is too large."""
    height, width = size
    if height * width > max_pixels:
        raise ValueError(
            f'Image too large: {name} has, or gets, {height} x {width} pixels, and the '
            f'limit is {max_pixels:,}. Reduce it; or raise the limit with max_pixels '
            '(--max-pixels), and sample in windows with window=512 (--window 512), '
            'which needs less memory.'
        )


def _check_integer(name: str, value: Any, minimum: int | None = None) -> None:
    """Refuse what is not an integer, or is less than the minimum."""
    is_integer = isinstance(value, Integral) and not isinstance(value, bool)
    if not is_integer or (minimum is not None and value < minimum):
        kind = 'an integer' if minimum is None else f'an integer of at least {minimum}'
        raise ValueError(f'{name} must be {kind}, but got {name}={value!r}. Give one.')


def _name(sample: DiffusionSample) -> str:
    """File name of a sample, without suffix."""
    return sample.get('name', f'{sample.sample_idx:06d}')


def _to_array(sample: DiffusionSample, key: str = 'pred_img') -> np.ndarray:
    """The prediction at the size of the ground truth: (H, W, 3), or (H, W) for maps."""
    image = sample.get(key).cpu()
    image = enlarge(image, sample.get('ori_shape', image.shape[-2:]))
    array = image.numpy().transpose(1, 2, 0)
    return np.ascontiguousarray(array[..., 0] if array.shape[2] == 1 else array)


def _check_config(cfg: Config) -> None:
    """Refuse the config of another model, or one without a test."""
    network = cfg.get('model') or {}
    if 'head' not in network or 'test_dataloader' not in cfg:
        raise ValueError(
            'The inferencer runs the test of a diffusion model, but the config has '
            f'model.type={network.get("type")} and the keys {sorted(cfg)}. Give a '
            'config like those in configs/adm/, with a test_dataloader.'
        )
