"""Compares models by more than one score: several samples, and single images."""

from pathlib import Path

import torch
from mmengine.dataset import BaseDataset, pseudo_collate
from mmengine.device import get_device
from mmengine.evaluator import Evaluator
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from rich.progress import track

from mmadm.checkpoints import ModelSource, put_weights
from mmadm.registry import DATASETS, MODELS
from mmadm.utils.sample_statistics import SampleStatistics

from .step_sweep import samples


def compare_model(
    source: ModelSource,
    num_samples: int = 4,
    num_steps: int | None = None,
    number: int | None = None,
) -> dict[str, float]:
    """Scores and statistics of a model on the test set of its config.

    Args:
        source: config and weights.
        num_samples: K, samples of each image, which differ in their noise.
        num_steps: NFE of a sample; None uses the number of the config.
        number: of images, the first ones; None uses all.

    Returns:
        the metrics of the config for one sample, and with ``mean_`` before their names
        for the mean of all; and the entries of
        :class:`~mmadm.utils.sample_statistics.SampleStatistics`, within the holes
        where the images have masks.

    Raises:
        ValueError: a number is not positive, the model is not a conditional diffusion
            model, or its samples have no ground truth.
    """
    _check_positive(num_samples=num_samples)
    model, dataset, count = _prepare(source, num_steps, number)
    if model.condition_encoder is None:
        raise ValueError(
            'Samples of one condition are compared, but the model in '
            f'{source.path} has no condition. Give a conditional model.'
        )
    cfg = source.config
    one, mean = Evaluator(cfg.test_evaluator), Evaluator(cfg.test_evaluator)
    statistics = SampleStatistics()
    seed = model.test_cfg.get('seed', 0)
    for index in track(range(count), 'Sampling'):
        data = pseudo_collate([dataset[index]])
        drawn = []
        for k in range(num_samples):
            model.test_cfg['seed'] = seed + k
            (sample,) = model.test_step(data)
            drawn.append(sample.pred_img.cpu())
        sample.pred_img = drawn[0]
        one.process([sample.clone()])
        drawn = torch.stack(drawn)
        if num_samples > 1:
            sample.pred_img = drawn.float().mean(0).round().byte()
            mean.process([sample.clone()])
        mask = sample.get('mask')
        statistics.add(
            drawn.numpy(),
            _gt(sample).cpu().numpy(),
            None if mask is None else mask[0].cpu().numpy(),
        )
    results = _own(one.evaluate(count))
    if num_samples > 1:
        results |= {f'mean_{k}': v for k, v in _own(mean.evaluate(count)).items()}
    return results | statistics.compute()


def scores_by_image(
    source: ModelSource, num_steps: int | None = None, number: int | None = None
) -> dict[str, dict[str, float]]:
    """Scores of each test image alone, by the metrics of the config.

    Args:
        source: config and weights.
        num_steps: NFE; None uses the number of the config.
        number: of images, the first ones; None uses all.

    Returns:
        scores by the file name of the image; without those of metrics that compare
        sets of images.

    Raises:
        ValueError: the model is no diffusion model, or a number is not positive.
    """
    model, dataset, count = _prepare(source, num_steps, number)
    evaluator, scores = Evaluator(source.config.test_evaluator), {}
    evaluator.metrics = [
        metric for metric in evaluator.metrics if not getattr(metric, 'of_sets', False)
    ]
    for index in track(range(count), 'Sampling'):
        (sample,) = model.test_step(pseudo_collate([dataset[index]]))
        evaluator.process([sample])
        name = Path(sample.get('img_path', str(index))).name
        scores[name] = _own(evaluator.evaluate(1))
    return scores


def _prepare(
    source: ModelSource, num_steps: int | None, number: int | None
) -> tuple[BaseModel, BaseDataset, int]:
    """The model with its weights, the test set, and how many images of it are used."""
    _check_positive(number=number)
    # Published configs name classes by their short names.
    init_default_scope('mmadm')
    cfg = source.config
    model = MODELS.build(cfg.model)
    if not samples(model):
        raise ValueError(
            f'Images are sampled, but the model in {source.path} is a first stage. '
            'Give a diffusion model.'
        )
    put_weights(model, source.checkpoint, source.path)
    model = model.to(get_device()).eval()
    if num_steps is not None:
        model.test_cfg['num_steps'] = num_steps
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    return model, dataset, min(number or len(dataset), len(dataset))


def _gt(sample) -> torch.Tensor:
    if 'gt_img' not in sample:
        raise ValueError(
            'Samples are compared with the ground truth, but the test set has none. '
            'Give a config whose test_dataloader has it.'
        )
    return sample.gt_img


def _own(scores: dict[str, float]) -> dict[str, float]:
    """Without those of baselines."""
    return {key: value for key, value in scores.items() if ':' not in key}


def _check_positive(**numbers: int | None) -> None:
    wrong = {key: n for key, n in numbers.items() if n is not None and n < 1}
    if wrong:
        raise ValueError(
            f'Numbers of samples and images must be positive, but got {wrong}. Give 1 '
            'or more.'
        )
