"""Inference without a data set: images in, images out."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.infer import BaseInferencer
from rich.progress import Progress
from torch import nn
from torch.utils.data import DataLoader, Subset

from mmadm.checkpoints import put_weights, safe_loaders
from mmadm.checkpoints.reading import file_sha256
from mmadm.registry import MODELS
from mmadm.structures import DiffusionSample
from mmadm.utils import cast_weights, check_device, prepare_inference
from mmadm.version import __version__
from mmadm.visualization import DiffusionVisualizer, columns
from mmadm.visualization.images import captioned_row

from .calibration import Calibration, load_calibration
from .exported import exported_model, open_exported
from .inputs import MAX_PIXELS, image_dataset, seed_dataset, takes_masks
from .launch import load_model, trained_models
from .memory import MemoryEstimate
from .results import (
    OutputFolder,
    OutputType,
    check_output,
    file_stem,
    fingerprint,
    result_keys,
    to_arrays,
    to_pil,
)
from .sampling import check_integer, set_mode, watch, with_options
from .trajectory import StepCallback, watch_sample

#: Arguments that decide a prediction, besides the input.
SAMPLING_ARGUMENTS = ('num_steps', 'seed', 'sampler', 'num_samples', 'mode', 'window')
_DTYPES = {
    'float32': None,
    'bfloat16': torch.bfloat16,
    torch.float32: None,
    torch.bfloat16: torch.bfloat16,
}


class ADMInferencer(BaseInferencer):
    """Runs a trained model on images, or generates images with an unconditional one.

    Images are RGB, as everywhere in mmadm. They pass the test pipeline of the config,
    and image i gets the noise of sample i of ``tools/test.py``: the predictions are the
    same, up to rounding.

    Args:
        model: name of a shipped model, such as ``'adm_sr_small'``; a file that
            ``tools/misc/publish_model.py`` or ``tools/deployment/export.py`` wrote; a
            config file; or a config.
        weights: a checkpoint, for a config, or to replace the weights of the model.
        device: 'cpu', 'cuda:1', ...; None uses a GPU if there is one.
        show_progress: show progress bars: of the images, and of the steps.
        dtype: 'bfloat16' computes in bfloat16 where this is safe (autocast), and keeps
            the weights of these layers in it, which is faster on GPUs and on CPUs that
            have it; 'float32' is exact. Of exported models only those that OpenVINO
            runs have this choice.
        backend: runtime of an exported model: 'onnxruntime' or 'openvino' for
            ``.onnx``, 'torch' for ``.pt2`` files. None takes the first that fits.

    Raises:
        FileNotFoundError: the config or the checkpoint does not exist.
        ImportError: the runtime of an exported model is not installed.
        ValueError: the name or the dtype is unknown, the device does not exist, or the
            weights are missing or belong to another config.
    """

    preprocess_kwargs = {'masks', 'num_samples', 'max_pixels'}
    forward_kwargs = {
        *('num_steps', 'seed', 'sampler', 'mode', 'window', 'trajectory'),
        *('callback', 'should_stop', 'progress'),
    }
    visualize_kwargs = {'show', 'wait_time'}

    def __init__(
        self,
        model: str | Path | Config | dict,
        weights: str | Path | None = None,
        device: str | torch.device | None = None,
        show_progress: bool = True,
        dtype: str | torch.dtype = 'float32',
        backend: str | None = None,
    ) -> None:
        if device is not None:
            check_device(device)
        if dtype not in _DTYPES:
            raise ValueError(
                f'Unknown precision: dtype={dtype!r}. Use float32 or bfloat16; the '
                'range of float16 is too small for some models.'
            )
        self._autocast = _DTYPES[dtype]
        precision = 'bfloat16' if self._autocast else 'float32'
        self._graph = open_exported(model, weights, backend, device, precision)
        source = self._graph or load_model(model, weights)
        cfg = source.config
        _check_config(cfg)
        self._checkpoint = source.checkpoint
        #: Facts of a published model: its data, their terms, scores, ...
        self.info = source.info
        path = source.path and str(source.path)
        super().__init__(cfg, path, device, 'mmadm', show_progress)
        del self._checkpoint, self.visualizer

    @staticmethod
    def list_models(pattern: str = '*') -> list[str]:
        """Names of the shipped models with weights, those that match a pattern."""
        return [name for name in trained_models() if fnmatchcase(name, pattern)]

    @property
    def is_conditional(self) -> bool:
        """Whether the model needs input images."""
        return self.pipeline is not None

    @property
    def takes_masks(self) -> bool:
        """Whether the model is for inpainting."""
        return self.is_conditional and takes_masks(self.pipeline)

    def __call__(
        self,
        inputs: Any = None,
        return_datasamples: bool = False,
        batch_size: int = 1,
        **kwargs,
    ) -> dict[str, list]:
        """Run the model on all inputs, and return all results.

        The arguments are those of :meth:`stream`.

        Returns:
            ``predictions``, ``visualization``, ...: what :meth:`stream` yields, as a
            list in the order of the inputs.
        """
        results = defaultdict(list)
        for result in self.stream(inputs, return_datasamples, batch_size, **kwargs):
            del result['name']
            for key, value in result.items():
                results['predictions' if key == 'prediction' else key].append(value)
        return dict(results)

    def stream(
        self,
        inputs: Any = None,
        return_datasamples: bool = False,
        batch_size: int = 1,
        out_dir: str | Path | None = None,
        output_type: OutputType = 'np',
        calibration: Calibration | str | Path | None = None,
        **kwargs,
    ) -> Iterator[dict[str, Any]]:
        """Run the model on one batch after the other; nothing is kept.

        All inputs are checked before the first one is processed.

        Args:
            inputs: a file, a folder (with its subfolders), a pattern
                (``photos/*.png``), an address (http), a PIL image, the bytes of a file;
                an array (H, W), (H, W, 3), (H, W, 4) or (N, H, W, 3), or a tensor
                (C, H, W) or (N, C, H, W), of uint8 or of floats in [0, 1], RGB; or a
                list of these. Transparent pixels become white. For super-resolution the
                small image. None for unconditional models.
            return_datasamples: return samples instead of predictions.
            batch_size: how many images of one size are sampled together; it changes
                predictions by rounding only.
            out_dir: a folder for PNG files with the names of the inputs, in ``pred/``,
                ``vis/``, ``trajectory/``, ``std/`` (as heat maps) and ``samples/``,
                written after each batch.
            output_type: 'np' for arrays; 'pil' for PIL images (``std`` as a heat map);
                'file' for the paths of the files in ``out_dir``. With 'file', results
                that are there already, from the same model, inputs and arguments, are
                not made again.
            calibration: what ``tools/analysis_tools/calibrate.py`` wrote: the results
                get intervals, and the arguments of sampling are those of the file.
            kwargs: ``masks``, the holes for inpainting, in the form of ``inputs``:
                white in files, 1 or 255 in arrays (H, W).
                ``num_samples``: an unconditional model generates so many images (1);
                a prediction of another model is the mean of so many samples.
                ``max_pixels``, the largest image, input or prediction.
                ``num_steps``, ``seed`` and ``sampler``, as for ``tools/test.py``; the
                default is the config's.
                ``mode``: 'whole' samples an image at once, 'slide' in overlapping
                windows of ``window`` pixels of the prediction, which needs less memory.
                The default is the config's, or 'slide' where an image needs more memory
                than is free, which is logged.
                ``trajectory=True`` also draws the sampling trajectories.
                ``callback(step, t, x_t, x0)`` is called after each step with the noisy
                image and the image estimate, arrays in the form of the predictions; of
                several samples, it sees the first. With it, or with ``trajectory``,
                images are sampled one by one.
                ``progress(done, total)`` is called after each evaluation of the network
                with the number of evaluations of the batch.
                ``should_stop``, a function that is called before each evaluation of the
                network; sampling ends if it returns True.
                ``show=True`` opens a window for each image, which stays open
                ``wait_time`` seconds (0: until a key is pressed).

        Returns:
            an iterator over the results of the images, in the order of the inputs:
            ``name``; ``prediction``, an array (H, W, 3), or (H, W) for maps, uint8,
            RGB; ``visualization``, condition and prediction side by side; on request,
            ``trajectory``. Where the prediction is the mean of K samples, ``samples``,
            (K, H, W, 3) or (K, H, W), and ``std``, their standard deviation in grey
            levels, the mean over the channels, (H, W), float32; with a calibration,
            ``lower`` and ``upper``, the ends of the intervals, as the prediction.

        Raises:
            FileNotFoundError: a file does not exist, or a folder is empty.
            ValueError: an image or mask cannot be read or does not fit the model, or
                an argument has a wrong value.
            SamplingStoppedError: ``should_stop`` returned True.
        """
        before, during, show = self._split(kwargs)
        check_output(output_type, out_dir, return_datasamples)
        if before.get('num_samples') is not None:
            check_integer('num_samples', before['num_samples'], 1)
        if self.is_conditional:
            during['num_samples'] = before.pop('num_samples', None)
        if calibration is not None:
            calibration = self._use_calibration(calibration, during)
        dataset = self.preprocess(inputs, batch_size, **before).dataset
        folder, finished = None, {}
        if out_dir is not None:
            settings = self.settings(during)
            if calibration is not None:
                settings['interval'] = calibration.coverage, calibration.scale
            folder = OutputFolder(out_dir, settings, dataset)
        if output_type == 'file' and not show.get('show'):
            draws = during.get('num_samples') or self._usual_draws
            trajectory = during.get('trajectory', False)
            keys = result_keys(draws, trajectory, calibration is not None)
            finished = folder.all_finished(keys, draws)
        todo = [i for i in range(len(dataset)) if i not in finished]
        data = DataLoader(Subset(dataset, todo), batch_size, collate_fn=self.collate_fn)

        def convert(sample: DiffusionSample, result: dict[str, Any]) -> dict[str, Any]:
            index = sample.sample_idx
            name = file_stem(index, sample.get('name'))
            if calibration is not None:
                ends = calibration.interval(result['prediction'], result['std'])
                result['lower'], result['upper'] = ends
            paths = folder and folder.write(index, name, result)
            if return_datasamples:
                return dict(result, name=name, prediction=sample)
            output = dict(np=result, file=paths)
            if output_type == 'pil':
                output['pil'] = to_pil(result)
            return dict(output[output_type], name=name)

        new = self._run(data, len(dataset), len(finished), during, show, convert)
        if not finished:
            return new
        return (finished.get(i) or next(new) for i in range(len(dataset)))

    def _run(
        self,
        data: DataLoader,
        total: int,
        finished: int,
        during: dict,
        show: dict,
        convert: Callable[[DiffusionSample, dict], dict],
    ) -> Iterator[dict[str, Any]]:
        """The converted results of the images, with progress bars."""
        given = during.pop('progress', lambda *_: None)
        with Progress(disable=not self.show_progress) as bars:
            images_bar = bars.add_task('Images', total=total, completed=finished)
            steps_bar = bars.add_task('Steps')

            def progress(done: int, of: int) -> None:
                bars.update(steps_bar, completed=done, total=of)
                given(done, of)

            for batch in data:
                samples = self.forward(batch, progress=progress, **during)
                figures = self.visualize(batch, samples, **show)
                results = self.postprocess(samples, figures)
                bars.advance(images_bar, len(samples))
                yield from map(convert, samples, results)

    def settings(self, during: dict) -> dict:
        """What decides the results besides the inputs.

        Args:
            during: arguments of :meth:`forward`.

        Returns:
            JSON data: those of the arguments that are given; fingerprint of the model,
            dtype and version.
        """
        given = {
            key: during[key]
            for key in SAMPLING_ARGUMENTS
            if during.get(key) is not None
        }
        dtype = str(self._autocast or torch.float32).removeprefix('torch.')
        return dict(given, model=self._fingerprint, dtype=dtype, version=__version__)

    @cached_property
    def _fingerprint(self) -> str:
        if self._graph:
            return file_sha256(self._graph.path)
        return fingerprint(self.model, self.cfg.model, self.pipeline)

    @property
    def _usual_draws(self) -> int:
        return self.model.test_cfg.get('num_samples', 1)

    def _use_calibration(
        self, calibration: Calibration | str | Path, during: dict
    ) -> Calibration:
        """A calibration, whose settings complete the arguments of sampling."""
        if not isinstance(calibration, Calibration):
            calibration = load_calibration(calibration)
        expected = calibration.settings
        given = {key: x for key, x in during.items() if x is not None}
        arguments = {key: x for key, x in expected.items() if key in SAMPLING_ARGUMENTS}
        found = self.settings({**arguments, **given})
        wrong = {
            key: (found.get(key), expected.get(key))
            for key in (*SAMPLING_ARGUMENTS, 'model', 'dtype')
            if key != 'seed' and found.get(key) != expected.get(key)
        }
        if wrong:
            raise ValueError(
                'The calibration was fitted for other settings: (here, there) are '
                f'{wrong}. Leave these arguments out, or calibrate again with '
                'tools/analysis_tools/calibrate.py.'
            )
        during.update({**arguments, **given})
        return calibration

    def _split(self, kwargs: dict) -> Iterator[dict]:
        """The arguments of preprocess, forward and visualize."""
        groups = self.preprocess_kwargs, self.forward_kwargs, self.visualize_kwargs
        known = set().union(*groups)
        unknown = sorted(kwargs.keys() - known)
        if unknown:
            own = ('batch_size', 'calibration', 'out_dir', 'output_type')
            raise ValueError(
                f'Unknown arguments of the inferencer: {unknown}. Use '
                f'{sorted({*known, *own})}.'
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
        """Build the batches for the model; see :meth:`stream`."""
        check_integer('batch_size', batch_size, 1)
        if self.is_conditional:
            dataset = image_dataset(inputs, masks, self.pipeline, max_pixels)
        else:
            test_set = self.cfg.test_dataloader.dataset
            dataset = seed_dataset(test_set, inputs, masks, num_samples)
        return DataLoader(dataset, batch_size, collate_fn=self.collate_fn)

    @torch.no_grad()
    def forward(
        self,
        inputs: dict,
        num_steps: int | None = None,
        seed: int | None = None,
        sampler: str | None = None,
        mode: str | None = None,
        window: int | None = None,
        trajectory: bool = False,
        callback: StepCallback | None = None,
        should_stop: Callable[[], bool] = lambda: False,
        progress: Callable[[int, int], None] = lambda *_: None,
        num_samples: int | None = None,
    ) -> list[DiffusionSample]:
        """Sample a batch; see :meth:`stream`."""
        if self._graph:
            self._graph.facts.check_options(num_steps, sampler, mode, window)
        model = with_options(
            self.model,
            self.cfg.model,
            sampler,
            num_steps=num_steps,
            seed=seed,
            num_samples=num_samples,
        )
        data = model.data_preprocessor(inputs)
        samples, condition = data['data_samples'], data['inputs']['condition']
        is_watched = trajectory or callback is not None
        groups = [[sample] for sample in samples] if is_watched else [samples]
        with self._autocasting():
            set_mode(model, samples, condition, mode, window, self._memory)
            total = sum(map(model.num_evaluations, groups))
            watch(model, total, progress, should_stop)
            if not is_watched:
                return model.predict(condition, samples)
            for i, sample in enumerate(samples):
                own = condition[i : i + 1]
                watch_sample(model, own, sample, trajectory, callback)
        return samples

    @cached_property
    def _memory(self) -> MemoryEstimate:
        return MemoryEstimate(self.model)

    def _autocasting(self) -> torch.autocast:
        device = self.model.data_preprocessor.device.type
        enabled = self._autocast is not None
        return torch.autocast(device, self._autocast, enabled=enabled)

    def visualize(
        self,
        inputs: Any,
        preds: Sequence[DiffusionSample],
        show: bool = False,
        wait_time: float = 0,
    ) -> list[np.ndarray]:
        """Draw condition and prediction side by side; see :meth:`stream`."""
        images = []
        for sample in preds:
            images.append(captioned_row(columns(sample)))
            if show:
                name = file_stem(sample.sample_idx, sample.get('name'))
                self.visualizer.show(images[-1], win_name=name, wait_time=wait_time)
        return images

    def postprocess(
        self,
        preds: Sequence[DiffusionSample],
        visualization: list[np.ndarray],
        return_datasample: bool = False,
    ) -> list[dict[str, np.ndarray]]:
        """The results of each image of a batch as arrays; see :meth:`stream`."""
        return [
            dict(to_arrays(sample), visualization=figure)
            for sample, figure in zip(preds, visualization)
        ]

    def _init_model(
        self, cfg: ConfigDict, weights: str | None, device: str = 'cpu'
    ) -> nn.Module:
        """The model with its weights, all or none; or the exported graph."""
        if self._graph:
            return exported_model(self._graph, cfg).to(device)
        with safe_loaders():
            model = MODELS.build(cfg.model)
        put_weights(model, self._checkpoint, weights)
        prepare_inference(model)
        if self._autocast:
            cast_weights(model, self._autocast)
        return model.to(device)

    def _init_pipeline(self, cfg: ConfigDict) -> list[dict] | None:
        """The test pipeline; None for an unconditional model."""
        return cfg.test_dataloader.dataset.get('pipeline')

    def _init_collate(self, cfg: ConfigDict) -> Callable:
        return pseudo_collate

    def _init_visualizer(self, cfg: ConfigDict) -> None:
        """Made at its first use, since it loads Matplotlib."""

    @cached_property
    def visualizer(self) -> DiffusionVisualizer:
        """What shows images in windows."""
        return DiffusionVisualizer()


def _check_config(cfg: Config) -> None:
    """Refuse the config of another model, or one without a test."""
    network = cfg.get('model') or {}
    if 'head' not in network or 'test_dataloader' not in cfg:
        raise ValueError(
            'The inferencer runs the test of a diffusion model, but the config has '
            f'model.type={network.get("type")} and the keys {sorted(cfg)}. Give a '
            'config like those in configs/adm/, with a test_dataloader.'
        )
