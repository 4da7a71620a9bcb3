"""Answers without a data set: pictures in, pictures out."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.infer import BaseInferencer
from mmengine.runner import CheckpointLoader
from rich.progress import track
from torch import nn
from torch.utils.data import DataLoader

from mmadm.checkpoints import put_weights, safe_loaders
from mmadm.registry import DATASETS, MODELS, SAMPLERS
from mmadm.structures import DiffusionSample
from mmadm.utils import enlarge
from mmadm.visualization import DiffusionVisualizer, columns, draw_trajectory
from mmadm.visualization.images import captioned, row
from mmadm.visualization.visualizer import save

from .launch import load_config, use_sampler
from .step_sweep import check_steps


class ADMInferencer(BaseInferencer):
    """Answers pictures with a trained model; or draws some, with an unconditional one.

    Pictures are RGB, as everywhere in mmadm. What is done to them is the test of the
    config, and so is the answer: picture i gets the noise that ``tools/test.py`` gives
    to its i-th one.

    Args:
        model: name of a shipped config, such as ``'adm_sr_demo'``; a config file; or a
            config.
        weights: checkpoint, or what ``tools/misc/publish_model.py`` wrote.
        device: 'cpu', 'cuda:1', ...; the best that is there if None.
        show_progress: draw a progress bar.

    Raises:
        FileNotFoundError: there is no such config or checkpoint.
        ValueError: there is no config of that name, no weights are given, or they are
            not those of the config.
    """

    preprocess_kwargs = {'masks', 'num_samples'}
    forward_kwargs = {'num_steps', 'seed', 'sampler', 'trajectory'}
    visualize_kwargs = {'show', 'wait_time'}
    postprocess_kwargs = {'out_dir'}

    def __init__(
        self,
        model: str | Path | Config | dict,
        weights: str | Path | None = None,
        device: str | None = None,
        show_progress: bool = True,
    ) -> None:
        cfg, published = _find_config(model)
        weights = weights or published
        super().__init__(cfg, weights and str(weights), device, 'mmadm', show_progress)

    @property
    def is_conditional(self) -> bool:
        """Whether it answers pictures; other models draw them out of nothing."""
        return self.pipeline is not None

    def __call__(
        self,
        inputs: Any = None,
        return_datasamples: bool = False,
        batch_size: int = 1,
        **kwargs,
    ) -> dict[str, list]:
        """Answer pictures. All are looked at before the first one is answered.

        Args:
            inputs: a file, a folder (with all below it), an array (H, W, 3) or (H, W),
                uint8, RGB; or a list of files and arrays. For super-resolution the
                small picture. None for unconditional models.
            return_datasamples: give the samples instead of arrays.
            batch_size: pictures that are sampled together, where they have one size;
                it changes answers by rounding only.
            kwargs: ``masks``, the holes for inpainting, in the form of ``inputs``: in
                files white, in arrays (H, W) 1 or 255. ``num_samples``, how many
                pictures an unconditional model draws (1). ``num_steps``, the network
                calls of each answer, ``seed`` (of the first picture, the second gets
                the next) and ``sampler``, as for ``tools/test.py``; the config's if not
                given. ``trajectory=True`` draws the way from noise to answer as well.
                ``show=True`` opens a window for each, which waits ``wait_time`` seconds
                (0: for a key). ``out_dir`` is where ``pred/``, ``vis/`` and
                ``trajectory/`` go, batch by batch, as PNG of the names of the pictures.

        Returns:
            ``predictions``, arrays (H, W, 3), or (H, W) for maps, uint8, RGB, of the
            picture's size; ``visualization``, the same beside the picture; and
            ``trajectory``, if asked for. In the order of the pictures.

        Raises:
            FileNotFoundError: a file is missing, or a folder is empty.
            ValueError: a picture or mask cannot be read, or does not suit the model.
        """
        before, during, show, after = self._dispatch_kwargs(**kwargs)
        data = self.preprocess(inputs, batch_size, **before)
        results = defaultdict(list)
        for batch in track(data, 'Inference', disable=not self.show_progress):
            samples = self.forward(batch, **during)
            pictures = self.visualize(inputs, samples, **show)
            part = self.postprocess(samples, pictures, return_datasamples, **after)
            for key, values in part.items():
                results[key] += values
        return dict(results)

    def preprocess(
        self,
        inputs: Any,
        batch_size: int = 1,
        masks: Any = None,
        num_samples: int | None = None,
    ) -> DataLoader:
        """The batches that the model takes; see :meth:`__call__`."""
        if batch_size < 1:
            raise ValueError(
                f'Pictures are sampled at least one at a time, but batch_size='
                f'{batch_size}. Give 1, or more as memory permits.'
            )
        choose = self._pictures if self.is_conditional else self._requests
        dataset = choose(inputs, masks, num_samples)
        return DataLoader(dataset, batch_size, collate_fn=self.collate_fn)

    def _requests(self, inputs: Any, masks: Any, num_samples: int | None):
        """So many of the seeds that the test draws from."""
        if inputs is not None or masks is not None:
            raise ValueError(
                'This model draws pictures out of nothing, but pictures are given. '
                'Leave them out and give num_samples.'
            )
        number = 1 if num_samples is None else num_samples
        return DATASETS.build(
            {**self.cfg.test_dataloader.dataset, 'num_samples': number}
        )

    def _pictures(self, inputs: Any, masks: Any, num_samples: int | None):
        """The pictures, each of which can be read."""
        if inputs is None or num_samples is not None:
            given = 'no picture' if inputs is None else f'num_samples={num_samples}'
            raise ValueError(
                f'This model answers pictures, but {given} is given. Give inputs: a '
                'file, a folder, an array (H, W, 3) of uint8, or a list.'
            )
        kind = dict(type='GivenPictures', pictures=inputs, masks=masks)
        dataset = DATASETS.build(dict(kind, pipeline=self.pipeline))
        for index in range(len(dataset)):
            dataset[index]
        return dataset

    @torch.no_grad()
    def forward(
        self,
        inputs: dict,
        num_steps: int | None = None,
        seed: int | None = None,
        sampler: str | None = None,
        trajectory: bool = False,
    ) -> list[DiffusionSample]:
        """Answer a batch; see :meth:`__call__`."""
        with self._sampling(num_steps, seed, sampler):
            if not trajectory:
                return self.model.test_step(inputs)
            data = self.model.data_preprocessor(inputs)
            samples, condition = data['data_samples'], data['inputs']['condition']
            for i, sample in enumerate(samples):
                own = condition[i : i + 1]
                sample.trajectory = draw_trajectory(self.model, own, sample)
            return samples

    @contextmanager
    def _sampling(
        self, num_steps: int | None, seed: int | None, sampler: str | None
    ) -> Iterator[None]:
        """Sample as asked, and then as before."""
        model = self.model
        usual = model.test_cfg, model.sampler
        options = dict(num_steps=num_steps, seed=seed)
        options = {key: x for key, x in options.items() if x is not None}
        check_steps([options.get('num_steps', 1)])
        try:
            model.test_cfg = {**model.test_cfg, **options}
            if sampler is not None:
                cfg = deepcopy(self.cfg)
                use_sampler(cfg, sampler)
                model.sampler = SAMPLERS.build(cfg.model.sampler)
            yield
        finally:
            model.test_cfg, model.sampler = usual

    def visualize(
        self,
        inputs: Any,
        preds: Sequence[DiffusionSample],
        show: bool = False,
        wait_time: float = 0,
    ) -> list[np.ndarray]:
        """Condition and answer side by side; see :meth:`__call__`."""
        pictures = []
        for sample in preds:
            shown = columns(sample)
            pictures.append(row([captioned(p, text) for text, p in shown.items()]))
            if show:
                name = _name(sample)
                self.visualizer.show(pictures[-1], win_name=name, wait_time=wait_time)
        return pictures

    def postprocess(
        self,
        preds: Sequence[DiffusionSample],
        visualization: list[np.ndarray],
        return_datasample: bool = False,
        out_dir: str | Path | None = None,
    ) -> dict[str, list]:
        """The results of a batch, written too if asked; see :meth:`__call__`."""
        results = dict(
            predictions=[_answer(sample) for sample in preds],
            visualization=visualization,
        )
        if 'trajectory' in preds[0]:
            results['trajectory'] = [sample.trajectory for sample in preds]
        if out_dir is not None:
            folders = ('pred', 'vis', 'trajectory')
            for folder, pictures in zip(folders, results.values()):
                for sample, picture in zip(preds, pictures):
                    save(picture, Path(out_dir, folder, f'{_name(sample)}.png'))
        if return_datasample:
            results['predictions'] = list(preds)
        return results

    def _init_model(
        self, cfg: ConfigDict, weights: str | None, device: str = 'cpu'
    ) -> nn.Module:
        """The model with its weights, all or none; the file is read first."""
        if weights is None:
            raise ValueError(
                'A model answers with trained weights only, but weights=None. Train '
                'it with tools/train.py and give the checkpoint, such as '
                'work_dirs/adm_sr_demo/iter_2000.pth.'
            )
        with safe_loaders():
            checkpoint = CheckpointLoader.load_checkpoint(weights, 'cpu', 'silent')
        model = MODELS.build(cfg.model)
        put_weights(model, checkpoint, weights)
        return model.to(device).eval()

    def _init_pipeline(self, cfg: ConfigDict) -> list[dict] | None:
        """That of the test; None where it draws out of nothing."""
        return cfg.test_dataloader.dataset.get('pipeline')

    def _init_collate(self, cfg: ConfigDict) -> Callable:
        return pseudo_collate

    def _init_visualizer(self, cfg: ConfigDict) -> DiffusionVisualizer:
        return DiffusionVisualizer()


def _name(sample: DiffusionSample) -> str:
    """What files are called."""
    return sample.get('name', f'{sample.sample_idx:06d}')


def _answer(sample: DiffusionSample) -> np.ndarray:
    """At the size that the truth would have: (H, W, 3), or (H, W) for maps."""
    image = sample.pred_img.cpu()
    image = enlarge(image, sample.get('ori_shape', image.shape[-2:]))
    array = image.numpy().transpose(1, 2, 0)
    return np.ascontiguousarray(array[..., 0] if array.shape[2] == 1 else array)


def shipped_models() -> dict[str, tuple[Path, str | None]]:
    """Config file and weights of each model in the package, by its name."""
    folder = BaseInferencer._get_repo_or_mim_dir('mmadm')
    return {
        entry['Name']: (Path(folder, entry['Config']), entry['Weights'])
        for entry in BaseInferencer._get_models_from_metafile(folder)
    }


def _find_config(model: str | Path | Config | dict) -> tuple[Config, str | None]:
    """The config that is meant, and its published weights, if there are any."""
    weights = None
    if not isinstance(model, str | Path):
        cfg = model if isinstance(model, Config) else Config(model)
    elif Path(model).suffix or Path(model).is_file():
        cfg = load_config(str(model))
    else:
        path, weights = _shipped(str(model))
        cfg = load_config(str(path))
    if 'head' not in cfg.model or 'test_dataloader' not in cfg:
        raise ValueError(
            'Pictures are answered as in the test of a diffusion model, but the config '
            f'has model.type={cfg.model.type} and the keys {sorted(cfg)}. Give a '
            'config like those in configs/adm/, with a test_dataloader.'
        )
    return cfg, weights


def _shipped(name: str) -> tuple[Path, str | None]:
    models = shipped_models()
    if name not in models:
        close = get_close_matches(name, models, n=3, cutoff=0.5)
        raise ValueError(
            f'Unknown model: {name!r} is neither a config file nor the name of a '
            f'shipped config. {"Near it are" if close else "There are"} '
            f'{close or sorted(models)}.'
        )
    return models[name]
